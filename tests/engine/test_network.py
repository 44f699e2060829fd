"""The network and its losses, each against its formula."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from domain.strategy import Mlp
from engine.network import (
    Head,
    Network,
    Plan,
    Rows,
    forward,
    losses,
    make_network,
    make_optimizer,
    run_epoch,
)

RNG = np.random.default_rng(7)
SCORES = RNG.normal(size=(9, 3)).astype(np.float32)
CLASSES = RNG.integers(0, 3, 9).astype(np.int32)
OUTPUTS = RNG.normal(size=(9, 1)).astype(np.float32)
RETURNS = RNG.normal(0.001, 0.01, 9).astype(np.float32)
ON_SCORES, ON_CLASSES, ON_OUTPUTS, ON_RETURNS = (jnp.asarray(a) for a in (SCORES, CLASSES, OUTPUTS, RETURNS))
PLAN = Plan(Head(3), "cross_entropy", 2.0, 0.01, 4, None)
RETURN_PLAN = dataclasses.replace(PLAN, head=Head(0, 0.001, 0.01), loss="mse")


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test_cross_entropy_is_the_doubt_in_the_true_class() -> None:
    expected = -np.log(softmax(SCORES)[np.arange(9), CLASSES])
    np.testing.assert_allclose(losses(PLAN, ON_SCORES, ON_CLASSES), expected, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_plays_down_what_is_known(gamma: float) -> None:
    true = softmax(SCORES)[np.arange(9), CLASSES]
    plan = dataclasses.replace(PLAN, loss="focal", focal_gamma=gamma)
    np.testing.assert_allclose(losses(plan, ON_SCORES, ON_CLASSES), -((1 - true) ** gamma) * np.log(true), rtol=1e-4)


def test_focal_loss_has_a_gradient_where_nothing_is_in_doubt() -> None:
    plan = dataclasses.replace(PLAN, loss="focal", focal_gamma=0.5)
    sure = jnp.array([[200.0, 0.0, 0.0]])
    gradient = jax.grad(lambda scores: losses(plan, scores, jnp.array([0])).sum())(sure)
    assert np.isfinite(gradient).all()


def test_squared_loss_is_in_units_of_trains_scale() -> None:
    predicted = OUTPUTS[:, 0] * 0.01 + 0.001
    expected = np.square((predicted - RETURNS) / 0.01)
    np.testing.assert_allclose(losses(RETURN_PLAN, ON_OUTPUTS, ON_RETURNS), expected, rtol=1e-3)


def test_huber_delta_is_a_return() -> None:
    plan = dataclasses.replace(RETURN_PLAN, loss="huber", huber_delta=0.004)
    error = np.abs(OUTPUTS[:, 0] * 0.01 + 0.001 - RETURNS).astype(np.float64)
    expected = np.where(error <= 0.004, error**2 / 2, 0.004 * (error - 0.002)) / 0.01**2
    np.testing.assert_allclose(losses(plan, ON_OUTPUTS, ON_RETURNS), expected, rtol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_an_mlp_is_its_layers_in_turn(activation: str) -> None:
    network = make_network(Mlp(hidden_layers=(5, 4), activation=activation), 3, Head(2), jax.random.key(0))
    row = RNG.normal(size=3).astype(np.float32)
    expected = row
    for position, layer in enumerate(network.layers):
        expected = np.asarray(layer.weight) @ expected + np.asarray(layer.bias)
        if position < 2:
            expected = np.tanh(expected) if activation == "tanh" else np.maximum(expected, 0)
    np.testing.assert_allclose(np.asarray(network(jnp.asarray(row), None)), expected, rtol=1e-5, atol=1e-6)


def test_what_is_said_of_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    network = make_network(Mlp(hidden_layers=(16,)), 3, Head(3), jax.random.key(0))
    rows = RNG.normal(size=(1_300, 3)).astype(np.float32)
    whole = np.asarray(forward(network, jnp.asarray(rows), Head(3)))
    assert whole.shape == (1_300, 3)
    for count in (1, 512, 600):
        part = np.asarray(forward(network, jnp.asarray(rows[:count]), Head(3)))
        assert part.tobytes() == whole[:count].tobytes()


def test_dropout_drops_its_share_in_training_alone() -> None:
    network = make_network(Mlp(hidden_layers=(400,), dropout=0.25), 2, Head(1), jax.random.key(0))
    network = eqx.tree_at(lambda n: n.layers[0].weight, network, jnp.zeros((400, 2)))
    network = eqx.tree_at(lambda n: n.layers[0].bias, network, jnp.ones(400))
    network = eqx.tree_at(lambda n: n.layers[1].weight, network, jnp.ones((1, 400)))
    network = eqx.tree_at(lambda n: n.layers[1].bias, network, jnp.zeros(1))
    row = jnp.zeros(2)
    assert network(row, None)[0] == 400
    kept = [float(network(row, jax.random.key(seed))[0]) * 0.75 / 400 for seed in range(20)]
    assert np.mean(kept) == pytest.approx(0.75, abs=0.02)
    assert len(set(kept)) > 5


Epoch = tuple[Network, Network, Rows]


def one_epoch(plan: Plan = PLAN, rate: float = 0.01, seed: int = 0) -> Epoch:
    """The network before and after an epoch over ten rows."""
    rng = np.random.default_rng(1)
    part = Rows(jnp.asarray(rng.normal(size=(10, 3)), jnp.float32), jnp.asarray(rng.integers(0, 3, 10), jnp.int32))
    network = make_network(Mlp(hidden_layers=(4,)), 3, plan.head, jax.random.key(0))
    state = make_optimizer(plan).init(eqx.filter(network, eqx.is_inexact_array))
    after, _, _ = run_epoch(network, state, part, part, jax.random.key(seed), jnp.float32(rate), plan)
    return network, after, part


def weights(network: Network) -> np.ndarray:
    return np.concatenate([np.asarray(layer.weight).ravel() for layer in network.layers])


def test_an_epoch_is_adam_over_every_row_once_the_last_batch_with_what_is_left() -> None:
    before, after, part = one_epoch()
    order_key, _ = jax.random.split(jax.random.key(0))
    order = np.asarray(jax.random.permutation(order_key, 10))
    assert sorted(order) == list(range(10))

    @jax.jit
    def gradient(network: Network, features: jax.Array, targets: jax.Array) -> Network:
        def loss(network: Network) -> jax.Array:
            return losses(PLAN, jax.vmap(lambda row: network(row, None))(features), targets).mean()

        slope: Network = jax.grad(loss)(network)
        return slope

    network, still = eqx.partition(before, eqx.is_inexact_array)
    adam = optax.adam(0.01)
    state = adam.init(network)
    for batch in (order[:4], order[4:8], order[8:]):
        updates, state = adam.update(gradient(network, part.features[batch], part.targets[batch]), state)
        network = optax.apply_updates(network, updates)
    np.testing.assert_allclose(weights(after), weights(eqx.combine(network, still)), rtol=1e-4, atol=1e-6)


def test_without_a_learning_rate_nothing_is_learnt() -> None:
    before, after, _ = one_epoch(rate=0.0)
    np.testing.assert_array_equal(weights(before), weights(after))


def test_a_gradient_is_clipped_where_it_is_asked_for() -> None:
    # Adam is blind to the size of a lone gradient; over several batches clipping changes what it remembers.
    _, free, _ = one_epoch()
    _, clipped, _ = one_epoch(dataclasses.replace(PLAN, gradient_clip=0.01))
    assert not np.array_equal(weights(free), weights(clipped))


def test_the_same_key_gives_the_same_bits_and_another_key_others() -> None:
    one, same, other = (weights(one_epoch(seed=seed)[1]) for seed in (0, 0, 1))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()
