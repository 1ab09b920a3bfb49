"""A contract for import-linter that it does not bring along: what a package may import from outside."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedContract(Contract):
    """A package may import, from outside the packages that are analysed, these modules and no others.

    import-linter's `forbidden` names what may not be imported, so that a library nobody thought of passes.

    Configuration:
        - source_modules: the packages it holds for, with all that is in them
        - allowed_modules: top-level names of modules that they may import
    """

    type_name = "allowed"

    source_modules = fields.ListField(subfield=fields.ModuleField())
    allowed_modules = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        allowed: set[str] = self.allowed_modules  # type: ignore[assignment]  # a field is its value at run time
        offences = sorted(
            f"{importer} -> {imported}"
            for importer in _modules(graph, self.source_modules)  # type: ignore[arg-type]  # likewise
            for imported in graph.find_modules_directly_imported_by(importer)
            if graph.is_module_squashed(imported) and imported not in allowed
        )
        return ContractCheck(kept=not offences, metadata={"offences": offences})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for offence in check.metadata["offences"]:
            output.print_error(offence)


def _modules(graph: ImportGraph, packages: list[object]) -> list[str]:
    names = [str(package) for package in packages]
    return [module for name in names for module in (name, *graph.find_descendants(name))]
