"""The dialect of Venus OS: topics, payloads, and what a message means."""
