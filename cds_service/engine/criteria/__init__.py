"""The closed list of criteria. Importing this package registers every one of them with the compiler.

A criterion answers yes, no or unknown. On a yes it leaves the facts it rests on in `Context.evidence` and, under its
`as` name, in `Context.bound`. What was not supplied answers unknown and is named in `Context.missing`.
"""

from cds_service.engine.compiler import Compiler, Vocabulary
from cds_service.engine.criteria import combinators, layers, medicines, observations, record

__all__ = ["Compiler", "Vocabulary", "combinators", "layers", "medicines", "observations", "record"]
