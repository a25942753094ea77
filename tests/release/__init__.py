"""Makes a release: the wheel, the sdist, the archive for the GX, their sums, and an SBOM.

It needs a Python with venv and a package index, and nothing that is installed: neither this package
nor what its tests need. The same sources make the same bytes, wherever and whenever it is run.
"""
