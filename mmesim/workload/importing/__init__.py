"""Traces of other people's formats, read into the tidy one: `import_trace`.

Begin with :mod:`mmesim.workload.importing.importer`; each format has a module whose docstring says where its layout
comes from and what was checked against what.
"""

from mmesim.workload.importing.importer import FORMATS, Imported, Wanted, import_trace

__all__ = ["FORMATS", "Imported", "Wanted", "import_trace"]
