"""The network and its losses, each against its formula."""

import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics

from domain.strategy import Mlp, Recurrent
from engine.architectures import MlpNetwork, Network, RecurrentNetwork
from engine.model import outputs_of
from engine.network import (
    CHUNK,
    Chance,
    EpochResult,
    Head,
    Numbers,
    Plan,
    Rows,
    begin,
    filled_up,
    losses,
    run_epoch,
)

RNG = np.random.default_rng(7)
SCORES = RNG.normal(size=(9, 3)).astype(np.float32)
CLASSES = RNG.integers(0, 3, 9).astype(np.int32)
OUTPUTS = RNG.normal(size=(9, 1)).astype(np.float32)
RETURNS = RNG.normal(0.001, 0.01, 9).astype(np.float32)
ON_SCORES, ON_CLASSES, ON_OUTPUTS, ON_RETURNS = (jnp.asarray(a) for a in (SCORES, CLASSES, OUTPUTS, RETURNS))
PLAN = Plan(3, "cross_entropy", 4, clips=False)
RETURN_PLAN = dataclasses.replace(PLAN, classes=0, loss="mse")


def fresh(architecture: Mlp | Recurrent, inputs: int, outputs: int) -> Network:
    return begin(architecture, inputs, dataclasses.replace(PLAN, classes=outputs), seed=0)[0]


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test_cross_entropy_is_the_doubt_in_the_true_class() -> None:
    expected = -np.log(softmax(SCORES)[np.arange(9), CLASSES])
    np.testing.assert_allclose(losses(PLAN, Numbers.of(0.01), ON_SCORES, ON_CLASSES), expected, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_plays_down_what_is_known(gamma: float) -> None:
    true = softmax(SCORES)[np.arange(9), CLASSES]
    plan = dataclasses.replace(PLAN, loss="focal")
    found = losses(plan, Numbers.of(0.01, gamma), ON_SCORES, ON_CLASSES)
    np.testing.assert_allclose(found, -((1 - true) ** gamma) * np.log(true), rtol=1e-4)


def test_focal_loss_has_a_gradient_where_nothing_is_in_doubt() -> None:
    plan = dataclasses.replace(PLAN, loss="focal")
    sure = jnp.array([[200.0, 0.0, 0.0]])
    gradient = jax.grad(lambda scores: losses(plan, Numbers.of(0.01, 0.5), scores, jnp.array([0])).sum())(sure)
    assert np.isfinite(gradient).all()


def test_squared_loss_is_in_units_of_trains_scale() -> None:
    head = Head(0, 0.001, 0.01)
    predicted = OUTPUTS[:, 0].astype(np.float64) * 0.01 + 0.001
    np.testing.assert_allclose(head.predictions(OUTPUTS), predicted, rtol=1e-12)
    expected = np.square((predicted - RETURNS) / 0.01)
    targets = jnp.asarray(head.standardised(RETURNS.astype(np.float64)), jnp.float32)
    np.testing.assert_allclose(losses(RETURN_PLAN, Numbers.of(0.01), ON_OUTPUTS, targets), expected, rtol=1e-3)


def test_huber_loss_is_squared_near_and_straight_far_away() -> None:
    plan = dataclasses.replace(RETURN_PLAN, loss="huber")
    error = np.abs(OUTPUTS[:, 0] - RETURNS).astype(np.float64)
    expected = np.where(error <= 0.4, error**2 / 2, 0.4 * (error - 0.2))
    np.testing.assert_allclose(
        losses(plan, Numbers.of(0.01, huber_delta=0.4), ON_OUTPUTS, ON_RETURNS), expected, rtol=1e-3
    )


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_an_mlp_is_its_layers_in_turn(activation: str) -> None:
    network = fresh(Mlp(hidden_layers=(5, 4), activation=activation), 3, 2)
    row = RNG.normal(size=3).astype(np.float32)
    expected = row
    assert isinstance(network, MlpNetwork)
    for position, layer in enumerate(network.layers):
        expected = np.asarray(layer.weight) @ expected + np.asarray(layer.bias)
        if position < 2:
            expected = np.tanh(expected) if activation == "tanh" else np.maximum(expected, 0)
    np.testing.assert_allclose(np.asarray(network(jnp.asarray(row)[None], None)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_recurrent_network_is_its_formula_step_by_step(kind: Literal["lstm", "gru"]) -> None:
    """The gates as Hochreiter and Schmidhuber, and Cho and others, have them, in plain numpy."""
    architecture = Recurrent(type=kind, sequence_length=6, hidden_size=4, num_layers=2)
    network = fresh(architecture, 3, 2)
    assert isinstance(network, RecurrentNetwork)
    window = RNG.normal(size=(6, 3))

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-x)))

    rows = window
    for cell in network.cells:
        from_row, from_state, bias = (np.asarray(a, np.float64) for a in (cell.weight_ih, cell.weight_hh, cell.bias))
        state, memory, states = np.zeros(4), np.zeros(4), []
        for row in rows:
            if kind == "lstm":
                i, f, g, o = np.split(from_row @ row + from_state @ state + bias, 4)
                memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
                state = sigmoid(o) * np.tanh(memory)
            else:
                assert isinstance(cell, eqx.nn.GRUCell)
                (rr, rz, rn), (hr, hz, hn) = np.split(from_row @ row + bias, 3), np.split(from_state @ state, 3)
                r, z = sigmoid(rr + hr), sigmoid(rz + hz)
                n = np.tanh(rn + r * (hn + np.asarray(cell.bias_n, np.float64)))
                state = (1 - z) * n + z * state
            states.append(state)
        rows = np.array(states)
    expected = np.asarray(network.last.weight) @ rows[-1] + np.asarray(network.last.bias)
    said = np.asarray(network(jnp.asarray(window, jnp.float32), None))
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "architecture",
    [Mlp(hidden_layers=(16,)), Recurrent(type="lstm", sequence_length=5, hidden_size=4)],
    ids=["mlp", "lstm"],
)
def test_what_is_said_of_a_row_does_not_depend_on_the_rows_beside_it(architecture: Mlp | Recurrent) -> None:
    network = fresh(architecture, 3, 3)
    rows = RNG.normal(size=(1_300, 3)).astype(np.float32)
    whole = outputs_of(network, rows, np.arange(1_300))
    assert whole.shape == (1_300, 3)
    for count in (1, 512, 600):
        assert outputs_of(network, rows[:count], np.arange(count)).tobytes() == whole[:count].tobytes()


@pytest.mark.parametrize("rows", [1, 512, 513, 3_237, 5_000, 100_000, 4_100_000])
def test_rows_are_filled_up_by_a_quarter_at_most_to_one_of_few_sizes(rows: int) -> None:
    size = filled_up(rows)
    assert size % CHUNK == 0
    assert rows <= size < max(rows * 1.25, rows + CHUNK)
    assert size // CHUNK in {m << k for m in range(1, 8) for k in range(20)}


def test_dropout_drops_its_share_in_training_alone() -> None:
    network = fresh(Mlp(hidden_layers=(400,), dropout=0.25), 2, 1)
    network = eqx.tree_at(lambda n: n.layers[0].weight, network, jnp.zeros((400, 2)))
    network = eqx.tree_at(lambda n: n.layers[0].bias, network, jnp.ones(400))
    network = eqx.tree_at(lambda n: n.layers[1].weight, network, jnp.ones((1, 400)))
    network = eqx.tree_at(lambda n: n.layers[1].bias, network, jnp.zeros(1))
    row = jnp.zeros((1, 2))
    assert network.noise_shape == (400,)
    assert network(row, None)[0] == 400
    chance = np.random.default_rng(0)
    kept = [float(network(row, jnp.asarray(chance.uniform(size=400)))[0]) * 0.75 / 400 for _ in range(20)]
    assert np.mean(kept) == pytest.approx(0.75, abs=0.02)
    assert len(set(kept)) > 5


def test_dropout_in_a_recurrent_network_drops_the_share_of_each_layers_states() -> None:
    architecture = Recurrent(type="gru", sequence_length=3, hidden_size=50, num_layers=2, dropout=0.5)
    network = fresh(architecture, 2, 1)
    window, last = jnp.ones((3, 2)), np.zeros((2, 3, 50), np.float32)
    last[1, 2] = 1.0  # nothing is dropped where the noise is above the share
    assert isinstance(network, RecurrentNetwork)
    assert network.last.bias is not None
    assert network.noise_shape == last.shape
    assert network(window, jnp.zeros_like(last))[0] == pytest.approx(float(network.last.bias[0]))
    assert network(window, jnp.ones_like(last))[0] != network(window, None)[0]
    assert np.isfinite(network(window, jnp.asarray(last))).all()


@dataclasses.dataclass(frozen=True)
class Epoch:
    """A network before and after an epoch over ten rows of twelve, and what was measured then."""

    before: Network
    after: Network
    features: np.ndarray
    part: Rows
    result: EpochResult


def one_epoch(
    plan: Plan = PLAN, rate: float = 0.01, seed: int = 0, weight: float = 1.0, filling: int = 0, clip: float = 0.0
) -> Epoch:
    """`weight` is that of the first row; `filling` are rows below the true ones, which nothing may depend on."""
    rng = np.random.default_rng(1)
    features = np.pad(rng.normal(size=(12, 3)).astype(np.float32), ((0, filling), (0, 0)))
    ends = np.concatenate((np.arange(2, 12), np.full(CHUNK - 10 + filling // CHUNK * CHUNK, 11)))
    targets = rng.integers(0, 3, 10)
    part = Rows(
        jnp.asarray(ends, jnp.int32),
        jnp.asarray(np.pad(targets, (0, len(ends) - 10)), jnp.int32),
        jnp.asarray(np.concatenate(([weight], np.ones(len(ends) - 1))), jnp.float32),
        jnp.int32(10),
    )
    network, state = begin(Mlp(hidden_layers=(4,)), 3, plan, seed)
    chance = Chance.of(seed, 1, 10)
    chance = Chance(jnp.pad(chance.order, (0, len(ends) - len(chance.order)), constant_values=11), chance.key)
    after, _, result = run_epoch(
        network, state, jnp.asarray(features), part, part, chance, Numbers.of(rate, gradient_clip=clip), plan
    )
    return Epoch(network, after, features, part, result)


def weights(network: Network) -> np.ndarray:
    assert isinstance(network, MlpNetwork)
    return np.concatenate([np.asarray(layer.weight).ravel() for layer in network.layers])


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_an_epoch_is_adam_over_every_row_once_the_last_batch_with_what_is_left(weight: float) -> None:
    epoch = one_epoch(weight=weight)
    order, shares = np.asarray(Chance.of(0, 1, 10).order)[:10], np.asarray(epoch.part.weights)
    assert sorted(order) == list(range(10))

    @jax.jit
    def gradient(network: Network, rows: jax.Array, targets: jax.Array, shares: jax.Array) -> Network:
        def loss(network: Network) -> jax.Array:
            each = losses(PLAN, Numbers.of(0.01), jax.vmap(lambda row: network(row[None], None))(rows), targets)
            return (each * shares).sum() / shares.sum()

        slope: Network = jax.grad(loss)(network)
        return slope

    network, still = eqx.partition(epoch.before, eqx.is_inexact_array)
    adam = optax.adam(0.01)
    state = adam.init(network)
    for batch in (order[:4], order[4:8], order[8:]):
        rows = jnp.asarray(epoch.features[np.asarray(epoch.part.ends)[batch]])
        updates, state = adam.update(gradient(network, rows, epoch.part.targets[batch], shares[batch]), state)
        network = optax.apply_updates(network, updates)
    np.testing.assert_allclose(weights(epoch.after), weights(eqx.combine(network, still)), rtol=1e-4, atol=1e-6)
    on_rows = outputs_of(epoch.after, epoch.features, np.arange(2, 12))
    expected = sklearn.metrics.log_loss(np.asarray(epoch.part.targets)[:10], softmax(on_rows), labels=[0, 1, 2])
    assert float(epoch.result.train_loss) == pytest.approx(expected, rel=1e-5)


def test_rows_that_only_fill_up_change_nothing() -> None:
    plain, filled = one_epoch(), one_epoch(filling=2 * CHUNK)
    np.testing.assert_allclose(weights(plain.after), weights(filled.after), rtol=1e-5, atol=1e-7)
    assert float(plain.result.train_loss) == pytest.approx(float(filled.result.train_loss), rel=1e-6)


def test_without_a_learning_rate_nothing_is_learnt() -> None:
    epoch = one_epoch(rate=0.0)
    np.testing.assert_array_equal(weights(epoch.before), weights(epoch.after))


def test_a_gradient_is_clipped_where_it_is_asked_for() -> None:
    # Adam is blind to the size of a lone gradient; over several batches clipping changes what it remembers.
    free = one_epoch()
    clipped = one_epoch(dataclasses.replace(PLAN, clips=True), clip=0.01)
    wide = one_epoch(dataclasses.replace(PLAN, clips=True), clip=1000.0)
    assert not np.array_equal(weights(free.after), weights(clipped.after))
    np.testing.assert_allclose(weights(free.after), weights(wide.after), rtol=1e-5, atol=1e-7)


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    one, same, other = (weights(one_epoch(seed=seed).after) for seed in (0, 0, 1))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()
