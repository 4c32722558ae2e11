"""The settings of export and its kinds; `pipeline/settings.py` holds those of the other stages."""

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from pipeline.settings import Settings


class ExportSettings(Settings):
    """The kinds of export, and the check that they answer as the adapter did."""

    questions: PositiveInt = Field(16, description="questions that a model answers before and after it was exported")
    max_drift: NonNegativeInt = Field(1, description="how many of the answers may differ")
    license: str | None = Field(None, description="of the model, for its card; the base's own if not given")
    data_license: str | None = Field(None, description="of the training data, for the card")
    gguf: tuple[Literal["f16", "q8_0", "q4_k_m"], ...] = Field(
        ("q8_0",), min_length=1, description="weights of the files of --kind gguf"
    )
    block: PositiveInt | None = Field(
        None, description="tokens of a block of training text in --kind pgllm; the model's positions if not given"
    )
    benchmark: str | None = Field(
        None,
        pattern=r"^[\w.-]+/[\w.-]+(:[\w.-]+)?$",
        description="a hub's benchmark, as OWNER/DATASET:TASK, whose leaderboard the export reports its EX to",
    )

    @field_validator("gguf", mode="before")
    @classmethod
    def _one_or_more(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given
