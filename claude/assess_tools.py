"""The arguments of the assessor's tool, as the API and the check know them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from claude.desk import Tool
from claude.tools import Arguments, Words, tool
from domain.results import HypothesisId, Verdict


class Raised(BaseModel):
    """A hypothesis for a later cycle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Words = Field(description="a statement that a later cycle can find false; no figure of a backtest in it")
    rationale: Words = Field(description="why these results suggest it")


class Settled(BaseModel):
    """A hypothesis that this cycle tested."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hypothesis_id: HypothesisId = Field(description="one of those that this cycle can settle")
    status: Literal["validated", "refuted", "inconclusive"] = Field(description="what the results say of it")
    why: Words = Field(description="the figures that decide it")


class SubmitAssessment(Arguments):
    """The assessment."""

    verdict: Verdict = Field(description="at most what the figures allow; lower where you have reasons")
    strengths: list[Words] = Field(min_length=1, max_length=8, description="what the results show, with figures")
    weaknesses: list[Words] = Field(min_length=1, max_length=8, description="what speaks against it, with figures")
    suggestions: list[Words] = Field(max_length=8, description="what a later cycle could try")
    hypotheses: list[Raised] = Field(max_length=4, description="what later cycles could test; few and good, or none")
    settled: list[Settled] = Field(max_length=4, description="of those that this cycle can settle; else empty")


TOOLS: tuple[Tool, ...] = (
    tool("submit_assessment", "Hand the assessment in, once: the cycle is then done.", SubmitAssessment),
)
