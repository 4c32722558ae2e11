"""export --kind onnx: the merged model for ONNX Runtime, where optimum allows it.

optimum-onnx is what exports such models, and it wants an older transformers than loraql trains with. So this only
says what is needed; docs/export.md tells what was tried. Writes nothing.
"""

from importlib.metadata import version

from data.errors import UserError
from pipeline.config import Config

NEWEST = "optimum-onnx 0.1.0"
WANTS = "transformers<4.58"


def require_onnx(config: Config) -> None:
    """Raises UserError, saying what an export would need."""
    raise UserError(
        f"export --kind onnx: {NEWEST}, which would export it, wants {WANTS}, and loraql runs on transformers "
        f"{version('transformers')}; it needs an optimum-onnx for transformers 5, until then take --kind gguf"
    )
