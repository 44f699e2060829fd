"""A model on disk is whole and the one that was named, or it is not loaded."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from domain.errors import ErrorCode, ResearchError
from domain.strategy import Strategy
from engine.architectures import make_network
from engine.dataset import Dataset, prepare
from engine.fitting import fit
from engine.labels import SignalClass
from engine.model import Model, Recipe, load_model, pack, predict, save_model


@pytest.fixture
def saved(strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path) -> tuple[Path, str, Dataset]:
    """A directory with a model, its id, and what it was trained on."""
    it = strategy({"training": {"epochs": 1}})
    dataset = prepare(it, {"EURUSD": eurusd})
    recipe = Recipe(
        task=dataset.task,
        classes=dataset.classes,
        architecture=it.model,
        indicators=it.indicators,
        features=it.features,
        scalers={"EURUSD": dict(dataset.scalers["EURUSD"])},
        decisions=it.decisions,
        strategy_sha256="0" * 64,
        symbol="EURUSD",
        timeframe="1h",
        seed=1,
    )
    fitted = fit(it, dataset, 1, tmp_path, lambda _progress: None)
    return tmp_path, save_model(recipe, fitted.network, tmp_path), dataset


def test_a_model_is_loaded_from_its_directory_or_beside_its_weights(saved: tuple[Path, str, Dataset]) -> None:
    directory, model_id, dataset = saved
    rows = dataset.validation.features.astype(np.float64)[1000:]
    by_directory, by_file = load_model(directory, model_id), load_model(directory / "model.npz")
    assert by_directory.model_id == by_file.model_id == model_id
    assert predict(by_directory, rows).tobytes() == predict(by_file, rows).tobytes()


def test_a_class_that_did_not_occur_in_train_is_never_likely(saved: tuple[Path, str, Dataset]) -> None:
    model = load_model(saved[0])
    two = model.recipe.model_copy(update={"classes": (SignalClass.BUY, SignalClass.SELL)})
    network = make_network(two.architecture, len(two.features), two.head.outputs, jax.random.key(0))
    said = predict(Model(two, network, "two"), saved[2].validation.features.astype(np.float64)[1000:])
    assert (said[:, SignalClass.HOLD] == 0).all()
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)


def test_a_row_with_an_unknown_feature_is_not_predicted_and_disturbs_no_other(
    saved: tuple[Path, str, Dataset],
) -> None:
    model = load_model(saved[0])
    rows = saved[2].validation.features.astype(np.float64)[1000:]
    holed = rows.copy()
    holed[3, 1] = np.nan
    said, known = predict(model, holed), predict(model, rows)
    assert np.isnan(said[3]).all()
    assert np.delete(said, 3, axis=0).tobytes() == np.delete(known, 3, axis=0).tobytes()


def test_no_rows_give_no_predictions(saved: tuple[Path, str, Dataset]) -> None:
    model = load_model(saved[0])
    assert predict(model, np.zeros((0, len(model.recipe.features)))).shape == (0, 3)


@pytest.mark.parametrize("file", ["model.npz", "model.json"])
@pytest.mark.parametrize("damage", ["gone", "half"])
def test_a_damaged_model_is_not_loaded(saved: tuple[Path, str, Dataset], file: str, damage: str) -> None:
    path = saved[0] / file
    content = path.read_bytes()
    path.unlink()
    if damage == "half":
        path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ResearchError, match="Train the strategy again") as refused:
        load_model(saved[0])
    assert refused.value.code is ErrorCode.BACKTEST_FAILED


def test_another_model_than_the_one_named_is_not_loaded(saved: tuple[Path, str, Dataset]) -> None:
    with pytest.raises(ResearchError, match=r"its id is .*, not ffffffffffff"):
        load_model(saved[0], "f" * 64)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"intruder": np.ones(3)},
    ],
    ids=["none", "others"],
)
def test_weights_of_another_network_are_not_loaded(
    saved: tuple[Path, str, Dataset], arrays: dict[str, np.ndarray]
) -> None:
    (saved[0] / "model.npz").write_bytes(pack(arrays))
    with pytest.raises(ResearchError, match="cannot be read"):
        load_model(saved[0])


def test_a_pickle_among_the_weights_is_not_opened(saved: tuple[Path, str, Dataset]) -> None:
    np.savez(saved[0] / "model.npz", weights=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ResearchError, match="allow_pickle"):
        load_model(saved[0])


def test_the_same_arrays_are_packed_to_the_same_bytes() -> None:
    arrays = {"b": np.arange(3.0), "a": np.ones((2, 2), dtype=np.float32)}
    assert pack(arrays) == pack({name: array.copy() for name, array in arrays.items()})
