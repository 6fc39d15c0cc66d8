"""Local language models: GGUF files, batched scoring and writing, and a scripted stand-in.

llama-cpp-python is imported only when a model is loaded; without it everything else works.
"""

from engine.llm.models import check_model, find_model, list_models, load_model, pocket_path, read_model_info
from engine.llm.protocol import LanguageModel, ModelIdentity, Scores
from engine.llm.scripted import ScriptedModel
from engine.llm.server_http import allow_server, needs_consent

__all__ = [
    "LanguageModel",
    "ModelIdentity",
    "Scores",
    "ScriptedModel",
    "allow_server",
    "check_model",
    "find_model",
    "list_models",
    "load_model",
    "needs_consent",
    "pocket_path",
    "read_model_info",
]
