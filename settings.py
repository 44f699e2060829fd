"""Every setting of the project, in one typed class. Flags come first, then the environment, then a file.

A Settings object is made once, at the edge (the command, the worker), and handed inward; nothing else reads the
environment. Temporal's own address, namespace, TLS and keys stay with Temporal's configuration (TEMPORAL_*).
Files: `.env` and `research.toml` beside this module. A row of the policy table is overridden by its path, for example
RESEARCH_POLICIES__TRAIN__ATTEMPTS=3 or RESEARCH_POLICIES__TRAIN__HEARTBEAT=PT20S.
"""

from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from domain.gates import GateThresholds
from domain.ledger import Limits, LimitsChange
from domain.pricing import DEFAULT_MODEL, Price
from settings_values import check_address, check_key, check_token, content_of, is_address, refused
from workflows.policies import Policies

PROJECT = Path(__file__).resolve().parent

ANTHROPIC = "https://api.anthropic.com"


class _ProjectFile(TomlConfigSettingsSource):
    """research.toml. It is ours alone, so a key that we do not know is an error; `.env` may serve other programs."""

    def __call__(self) -> dict[str, Any]:
        """The file's values. Raises ValueError that names the unknown key and the nearest known one."""
        fields = self.settings_cls.model_fields
        aliases = [field.validation_alias for field in fields.values()]
        known = [*fields, *(alias for alias in aliases if isinstance(alias, str))]
        for key in self.init_kwargs:
            if key not in known:
                nearest = get_close_matches(key.lower(), known, n=1)
                hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
                raise ValueError(f"{self.toml_file_path}: there is no setting {key!r}{hint}")
        return super().__call__()


class Settings(BaseSettings):
    """What holds for this process. Values that do not fit are refused by name when the object is made."""

    model_config = SettingsConfigDict(
        env_prefix="RESEARCH_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_file=PROJECT / ".env",
        toml_file=PROJECT / "research.toml",
        nested_model_default_partial_update=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: Path = PROJECT / ".research"
    """Where everything is written: server data, database, strategies, artifacts, bars, reports, logs."""
    database_url: str | None = None
    """The store of ended cycles; without it SQLite in the home. Takes `postgresql://USER:PASSWORD@HOST/NAME`."""
    strategies_dir: Annotated[Path | None, Field(validation_alias="STRATEGIES_DIR")] = None
    """Where strategy files are kept; without it `strategies` in the home."""

    temporal_address: Annotated[str | None, Field(validation_alias="TEMPORAL_ADDRESS")] = None
    """The Temporal server, host:port; without it Temporal's profile, then a `research dev` of the same home."""
    temporal_namespace: Annotated[str | None, Field(validation_alias="TEMPORAL_NAMESPACE")] = None
    """The namespace; without it the profile's, then `research`."""
    temporal_profile: Annotated[str | None, Field(validation_alias="TEMPORAL_PROFILE")] = None
    """The profile of Temporal's configuration file; TLS and API key are read from there."""
    task_queue: Annotated[str, Field(min_length=1)] = "research"
    """The task queue of cycles and ledger; that of trainings and backtests is its name with `-engine`."""
    ui_url: str | None = None
    """Where links to the Web UI lead; without it to the one of `research dev`, and else there are none."""
    metrics_address: str | None = "127.0.0.1:9464"
    """Where a worker serves its metrics, host:port, or `off`."""
    serve_address: str = "127.0.0.1:8765"
    """Where `research serve` listens, host:port."""
    serve_token: SecretStr | None = None
    """What callers of `research serve` have to show; needed where it listens beyond this machine."""
    serve_token_file: Annotated[SecretStr | None, BeforeValidator(content_of)] = None
    """A file that holds that token, instead."""
    trace_ui: Annotated[str | None, Field(pattern=r"^https?://[^\s]+$")] = None
    """Where `research show` finds traces; `{trace_id}` in it stands for the trace."""

    daily_token_budget: Annotated[int, Field(ge=0, validation_alias="AGENT_DAILY_TOKEN_BUDGET")] = 500_000
    """Tokens that a UTC day may cost."""
    daily_usd_budget: Annotated[Decimal | None, Field(ge=0, validation_alias="AGENT_DAILY_USD_BUDGET")] = None
    """Dollars that a UTC day may cost; without it tokens alone count."""
    max_active_cycles: Annotated[int, Field(ge=1, le=1000)] = 1
    """Cycles that may be active at once."""
    design_token_cap: Annotated[int, Field(ge=0)] = 90_000
    """Tokens that a cycle may use to design."""
    assess_token_cap: Annotated[int, Field(ge=0)] = 30_000
    """Tokens that a cycle may use to assess."""

    anthropic_api_key: Annotated[SecretStr | None, Field(validation_alias="ANTHROPIC_API_KEY")] = None
    """The key for Claude."""
    anthropic_api_key_file: Annotated[
        SecretStr | None, BeforeValidator(content_of), Field(validation_alias="ANTHROPIC_API_KEY_FILE")
    ] = None
    """A file that holds the key alone; used where no key is set."""
    anthropic_base_url: Annotated[str, Field(validation_alias="ANTHROPIC_BASE_URL")] = ANTHROPIC
    """The API's address."""
    model: Annotated[str, Field(min_length=1, max_length=80)] = DEFAULT_MODEL
    """Claude's model, by a short name or its id."""
    prices: tuple[Price, ...] = ()
    """Prices of models in place of the built-in ones, as JSON; in research.toml one table each."""

    engine_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Trainings and backtests that a worker's own engine does at once."""
    commission: Annotated[float | None, Field(ge=0, le=0.1)] = None
    """Commission of a fill, a fraction of the price; without it the asset class's."""
    half_spread: Annotated[float | None, Field(ge=0, le=0.1)] = None
    """Half the spread, paid at each fill, a fraction of the price; without it the asset class's."""

    ktrdr_api_url: Annotated[str | None, Field(validation_alias="KTRDR_API_URL")] = None
    """The service that trains and backtests; without it the worker's own engine does."""
    ktrdr_api_token: Annotated[SecretStr | None, Field(validation_alias="KTRDR_API_TOKEN")] = None
    """What the service asks for, sent as a bearer token."""
    ktrdr_poll_interval: Annotated[float, Field(gt=0, le=600, validation_alias="KTRDR_POLL_INTERVAL")] = 5.0
    """Seconds between two polls of the service."""
    training_start_date: Annotated[date | None, Field(validation_alias="AGENT_TRAINING_START_DATE")] = None
    """The first day that the service trains on; both ends or neither."""
    training_end_date: Annotated[date | None, Field(validation_alias="AGENT_TRAINING_END_DATE")] = None
    """The last one, included."""
    backtest_start_date: Annotated[date | None, Field(validation_alias="AGENT_BACKTEST_START_DATE")] = None
    """The first day that the service backtests on; both ends or neither."""
    backtest_end_date: Annotated[date | None, Field(validation_alias="AGENT_BACKTEST_END_DATE")] = None
    """The last one, included."""

    training_gate_min_skill: Annotated[float, Field(validation_alias="TRAINING_GATE_MIN_SKILL")] = 0.02
    """How far above chance the accuracy on the validation part has to lie."""
    training_gate_max_loss_ratio: Annotated[float, Field(validation_alias="TRAINING_GATE_MAX_LOSS_RATIO")] = 1.05
    """The model's validation loss, as a share of that of guessing by frequency."""
    training_gate_min_loss_decrease: Annotated[float, Field(validation_alias="TRAINING_GATE_MIN_LOSS_DECREASE")] = 0.0
    """By what share the loss on the train part has to fall."""
    backtest_gate_min_win_rate: Annotated[float, Field(validation_alias="BACKTEST_GATE_MIN_WIN_RATE")] = 0.10
    """Share of trades that gain."""
    backtest_gate_max_drawdown: Annotated[float, Field(validation_alias="BACKTEST_GATE_MAX_DRAWDOWN")] = 0.40
    """Deepest fall of the equity from a peak, as a fraction of it."""
    backtest_gate_min_sharpe: Annotated[float, Field(validation_alias="BACKTEST_GATE_MIN_SHARPE")] = -0.5
    """Annual Sharpe ratio after costs."""
    backtest_gate_min_trades: Annotated[int, Field(validation_alias="BACKTEST_GATE_MIN_TRADES")] = 5
    """Trades in the backtest part."""

    policies: Policies = Policies()
    """Timeouts and retries, a row an activity."""

    @field_validator(
        "training_gate_min_skill",
        "training_gate_max_loss_ratio",
        "training_gate_min_loss_decrease",
        "backtest_gate_min_win_rate",
        "backtest_gate_max_drawdown",
        "backtest_gate_min_sharpe",
        "backtest_gate_min_trades",
    )
    @classmethod
    def _within_bounds(cls, value: float, info: ValidationInfo) -> float:
        """As the gates themselves bound it, but told here, by this setting's name."""
        try:
            GateThresholds.model_validate({(info.field_name or "").replace("_gate_", "_"): value})
        except ValidationError as error:
            raise refused(error.errors()[0]["msg"]) from error
        return value

    @field_validator("anthropic_api_key", "anthropic_api_key_file")
    @classmethod
    def _fits_into_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        """Told here, by the setting's name, and never repeated."""
        if value is not None:
            check_key(value)
        return value

    @field_validator("serve_token", "serve_token_file")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        """Told here, by the setting's name, and never repeated."""
        if value is not None:
            check_token(value)
        return value

    @field_validator("metrics_address")
    @classmethod
    def _listening(cls, value: str | None) -> str | None:
        """host:port, or None for `off`."""
        if value is None or value.strip().lower() == "off":
            return None
        if not is_address(value):
            raise refused("write host:port, as in 127.0.0.1:9464, or `off`")
        return value

    @field_validator("serve_address")
    @classmethod
    def _serving(cls, value: str) -> str:
        """host:port; the port 0 is any that is free."""
        if not is_address(value):
            raise refused("write host:port, as in 127.0.0.1:8765")
        return value

    @field_validator("anthropic_base_url")
    @classmethod
    def _plain_api_url(cls, value: str) -> str:
        """The API's root. A name and password in it would be logged with every request."""
        if value != ANTHROPIC:
            from httpx2 import URL, InvalidURL

            check_address("API", value, URL, InvalidURL, "ANTHROPIC_API_KEY is for what the API asks for")
        return value

    @field_validator("ktrdr_api_url")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        """The service's root."""
        if value is None:
            return None
        # Here, because only who names a service has any use for it: the client's own reading of an address.
        from httpx import URL, InvalidURL

        check_address("service", value, URL, InvalidURL, "KTRDR_API_TOKEN is for what the service asks for")
        return value.rstrip("/").removesuffix("/api/v1")

    @model_validator(mode="after")
    def _whole_periods(self) -> Self:
        """Both ends of a period or none, in their order, and nothing tested on what it was trained on."""
        for phase, start, end in (
            ("TRAINING", self.training_start_date, self.training_end_date),
            ("BACKTEST", self.backtest_start_date, self.backtest_end_date),
        ):
            if (start is None) != (end is None):
                raise refused(f"set both AGENT_{phase}_START_DATE and AGENT_{phase}_END_DATE, or neither")
            if start and end and start >= end:
                raise refused(f"AGENT_{phase}_END_DATE is not after AGENT_{phase}_START_DATE")
        if self.training_end_date and self.backtest_start_date and self.backtest_start_date <= self.training_end_date:
            raise refused(
                "AGENT_BACKTEST_START_DATE is not after AGENT_TRAINING_END_DATE: nothing may be tested on what it was "
                "trained on"
            )
        return self

    @field_validator("home", "strategies_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """The same folder for this process and for those that it starts, wherever they run."""
        return path.expanduser().resolve() if path else path

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then .env, then research.toml."""
        return (init_settings, env_settings, dotenv_settings, _ProjectFile(settings_cls))

    @property
    def engine_queue(self) -> str:
        """The task queue of training and backtest, which scale apart from everything else."""
        return f"{self.task_queue}-engine"

    @property
    def claude_key(self) -> SecretStr | None:
        """The key for Claude: the one that is set, else the one in the file that is named."""
        return self.anthropic_api_key or self.anthropic_api_key_file

    @property
    def face_token(self) -> SecretStr | None:
        """What the HTTP face asks for: the token that is set, else the one in the file that is named."""
        return self.serve_token or self.serve_token_file

    @property
    def backend(self) -> str:
        """Where trainings and backtests are done, in words."""
        if self.ktrdr_api_url:
            return f"by the service at {self.ktrdr_api_url}"
        return f"by the embedded engine, {self.engine_processes} at once"

    @property
    def store_url(self) -> str:
        """The database: SQLite in the home, or what was given."""
        return self.database_url or f"sqlite:///{self.home / 'research.db'}"

    @property
    def strategies(self) -> Path:
        """Where strategy files are kept."""
        return self.strategies_dir or self.home / "strategies"

    @property
    def artifacts(self) -> Path:
        """Where models, curves and trades are kept, a folder a cycle."""
        return self.home / "artifacts"

    @property
    def data(self) -> Path:
        """Where imported bars are kept."""
        return self.home / "data"

    @property
    def thresholds(self) -> GateThresholds:
        """The bounds of the gates for cycles started with these settings."""
        return GateThresholds(
            training_min_skill=self.training_gate_min_skill,
            training_max_loss_ratio=self.training_gate_max_loss_ratio,
            training_min_loss_decrease=self.training_gate_min_loss_decrease,
            backtest_min_win_rate=self.backtest_gate_min_win_rate,
            backtest_max_drawdown=self.backtest_gate_max_drawdown,
            backtest_min_sharpe=self.backtest_gate_min_sharpe,
            backtest_min_trades=self.backtest_gate_min_trades,
        )

    @property
    def limits(self) -> Limits:
        """What a new ledger starts with. A running one hears of `named_limits` alone."""
        return Limits(
            tokens_per_day=self.daily_token_budget,
            usd_per_day=self.daily_usd_budget,
            max_active_cycles=self.max_active_cycles,
        )

    @property
    def named_limits(self) -> LimitsChange:
        """The limits that somebody has set, by the environment or a file; a default says nothing to a running ledger.

        To take the setting of a limit away says nothing either: `research budget set` changes it then.
        """
        named = self.model_fields_set
        return LimitsChange(
            tokens_per_day=self.daily_token_budget if "daily_token_budget" in named else None,
            usd_per_day=self.daily_usd_budget,
            max_active_cycles=self.max_active_cycles if "max_active_cycles" in named else None,
        )
