"""How a network is trained: its losses, and one compiled epoch by Optax.

The same weights, rows, seed and plan give the same bits on one machine and one kind of device: the processor, or a GPU
where JAX finds one. Everything that a compiled function depends on is an argument, so that one compilation serves every
epoch, and every training of the same shape.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from domain.strategy import Model
from engine.architectures import Layer, Network, is_layer, skeleton

# Stated, not left to the library's defaults: the bits of a model depend on each of them.
for _option, _value in (
    ("jax_threefry_partitionable", True),
    ("jax_default_prng_impl", "threefry2x32"),
    ("jax_enable_x64", False),
    ("jax_default_matmul_precision", "highest"),
):
    jax.config.update(_option, _value)  # type: ignore[no-untyped-call]

CHUNK = 512
"""Rows that are evaluated at once, the last chunk filled up: a matrix product may round otherwise when it has other
rows beside it, and then what comes later would change what was predicted before."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    # On one thread: a sum split over several rounds otherwise, and the bits would depend on the number of cores.
    options = {"xla_cpu_multi_thread_eigen": False}
    jit: Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]
    jit = eqx.filter_jit(compiler_options=options)  # type: ignore[call-overload]
    return jit(function)


@dataclass(frozen=True)
class Head:
    """What the network's outputs mean.

    classes: outputs of a classification, whose scores a softmax turns into probabilities; 0 for a regression. That
    predicts a return: output * scale + mean, both from train; its losses are in units of scale squared.
    """

    classes: int
    mean: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for a row."""
        return self.classes or 1

    def predictions(self, outputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """What outputs of a network say: class probabilities (rows, classes), or returns (rows,) as fractions."""
        scores = outputs.astype(np.float64)
        if self.classes:
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        return scores[:, 0] * self.scale + self.mean

    def standardised(self, returns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns in the units of the network's output."""
        return (returns - self.mean) / self.scale


@dataclass(frozen=True)
class Plan:
    """What the compiled epoch is made for; the same serves every training with the same one, and the same shapes."""

    classes: int
    loss: Literal["cross_entropy", "focal", "huber", "mse"]
    batch_size: int
    clips: bool


class Numbers(eqx.Module):
    """What an epoch is given beside its plan, each an array of one number. huber_delta is in units of the output."""

    learning_rate: Array
    focal_gamma: Array
    huber_delta: Array
    gradient_clip: Array

    @classmethod
    def of(
        cls,
        learning_rate: float,
        focal_gamma: float = 2.0,
        huber_delta: float = 1.0,
        gradient_clip: float | None = None,
    ) -> "Numbers":
        """The numbers as arrays; for the plan of a training that does not clip, `gradient_clip` is None."""
        given = (learning_rate, focal_gamma, huber_delta, gradient_clip or 0.0)
        return cls(*(jnp.asarray(np.float32(number)) for number in given))


class Rows(eqx.Module):
    """Rows of one part, filled up to a size that other parts have too; the first `count` are true.

    ends: the bar whose features a row's window ends with. targets: classes as int32, or returns in units of the
    output as float32. weights: of each row's loss in train.
    """

    ends: Array
    targets: Array
    weights: Array
    count: Array


class Chance(eqx.Module):
    """An epoch's randomness: the order of the rows, the true ones first, and the key of what is dropped out."""

    order: Array
    key: Array

    @classmethod
    def of(cls, seed: int, epoch: int, rows: int) -> "Chance":
        """That of an epoch, counted from 1, over so many true rows; it follows from the two numbers alone."""
        chance = np.random.default_rng([seed, epoch])
        key = chance.integers(0, 2**32, 2, dtype=np.uint32)
        order = np.concatenate((chance.permutation(rows), np.arange(rows, filled_up(rows))))
        return cls(jnp.asarray(order.astype(np.int32)), jnp.asarray(key))


class EpochResult(eqx.Module):
    """After an epoch, without dropout or weights: both losses, and the outputs for every row of both parts."""

    train_loss: Array
    validation_loss: Array
    train_outputs: Array
    validation_outputs: Array


def filled_up(rows: int) -> int:
    """The size that so many rows are filled up to, at most a quarter more (from four chunks on): few sizes, so that
    one compilation serves trainings with other numbers of rows.
    """
    chunks = max(-(-rows // CHUNK), 1)
    step = 1 << max(chunks.bit_length() - 3, 0)
    return -(-chunks // step) * step * CHUNK


def make_optimizer(plan: Plan, numbers: Numbers) -> optax.GradientTransformation:
    """Adam, after clipping where it is asked for; the learning rate is applied by the epoch."""
    clip = (optax.clip_by_global_norm(numbers.gradient_clip),) if plan.clips else ()
    return optax.chain(*clip, optax.scale_by_adam())


def begin(architecture: Model, inputs: int, plan: Plan, seed: int) -> tuple[Network, optax.OptState]:
    """A fresh network and what its optimizer remembers before the first epoch.

    Weights and biases are uniform within one in the root of a layer's inputs, or of a cell's units, as Equinox has
    them; drawn by numpy, since to compile that for each architecture would take longer than many a training.
    """
    chance = np.random.default_rng([seed, 0])

    def drawn(layer: Layer) -> Layer:
        bound = float(layer.in_features if isinstance(layer, eqx.nn.Linear) else layer.hidden_size) ** -0.5
        fresh: Layer = jax.tree.map(
            lambda shape: jnp.asarray(chance.uniform(-bound, bound, shape.shape).astype(shape.dtype)), layer
        )
        return fresh

    network: Network = jax.tree.map(drawn, skeleton(architecture, inputs, plan.classes or 1), is_leaf=is_layer)
    weights = eqx.filter(network, eqx.is_inexact_array)
    state = jax.tree.map(
        lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)),
        jax.eval_shape(make_optimizer(plan, Numbers.of(1.0)).init, weights),
    )
    return network, state


def losses(plan: Plan, numbers: Numbers, outputs: Array, targets: Array) -> Array:
    """The loss of each row, shape (rows,), from the network's outputs.

    Cross entropy; focal loss: -(1 - p)^gamma log p, with p the probability of the true class; squared or Huber loss of
    returns in units of their scale in train.
    """
    if plan.loss in ("cross_entropy", "focal"):
        log_probabilities = jax.nn.log_softmax(outputs, axis=-1)
        true = jnp.take_along_axis(log_probabilities, targets[:, None], axis=1)[:, 0]
        if plan.loss == "cross_entropy":
            return -true
        # Not quite 0, where a power below 1 has no derivative.
        doubt = jnp.maximum(-jnp.expm1(true), 1e-7)
        return -(doubt**numbers.focal_gamma) * true
    error = outputs[..., 0] - targets
    if plan.loss == "mse":
        return jnp.square(error)
    each: Array = optax.losses.huber_loss(error, delta=numbers.huber_delta)
    return each


@_compiled
def run_epoch(
    network: Network,
    optimizer_state: optax.OptState,
    features: Array,
    train: Rows,
    validation: Rows,
    chance: Chance,
    numbers: Numbers,
    plan: Plan,
) -> tuple[Network, optax.OptState, EpochResult]:
    """One epoch over shuffled batches as one compiled loop, and then both parts evaluated.

    features: of consecutive bars, shape (bars, features).
    """
    weights, still = eqx.partition(network, eqx.is_inexact_array)
    optimizer = make_optimizer(plan, numbers)
    size = min(plan.batch_size, train.ends.shape[0])
    order = jnp.pad(chance.order, (0, -train.ends.shape[0] % size))

    def batch_loss(weights: Network, rows: Array, share: Array, noise: Array | None) -> Array:
        whole = eqx.combine(weights, still)
        windows = _windows(whole, features, train.ends[rows])
        each = jax.vmap(whole, in_axes=(0, None if noise is None else 0))(windows, noise)
        return jnp.sum(losses(plan, numbers, each, train.targets[rows]) * share) / jnp.sum(share)

    def step(number: Array, carry: tuple[Network, optax.OptState]) -> tuple[Network, optax.OptState]:
        weights, state = carry
        rows = jax.lax.dynamic_slice_in_dim(order, number * size, size)
        share = jnp.where(number * size + jnp.arange(size) < train.count, train.weights[rows], 0.0)
        noise = None
        if network.dropout:
            key = jax.random.fold_in(jax.random.wrap_key_data(chance.key), number)
            noise = jax.random.uniform(key, (size, *network.noise_shape))
        gradient = jax.grad(batch_loss)(weights, rows, share, noise)
        updates, state = optimizer.update(gradient, state)
        updates = jax.tree.map(lambda update: -numbers.learning_rate * update, updates)
        return optax.apply_updates(weights, updates), state

    # As many batches as there are rows for: one of nothing but filling would still move Adam's memory.
    batches = -(-train.count // size)
    weights, optimizer_state = jax.lax.fori_loop(0, batches, step, (weights, optimizer_state))
    network = eqx.combine(weights, still)
    on_train, on_validation = _outputs(network, features, train), _outputs(network, features, validation)
    result = EpochResult(
        train_loss=_mean_loss(plan, numbers, on_train, train),
        validation_loss=_mean_loss(plan, numbers, on_validation, validation),
        train_outputs=on_train,
        validation_outputs=on_validation,
    )
    return network, optimizer_state, result


@_compiled
def guessing_loss(outputs: Array, rows: Rows, numbers: Numbers, plan: Plan) -> Array:
    """The mean loss of giving the same outputs, shape (outputs,), for every row."""
    return _mean_loss(plan, numbers, jnp.broadcast_to(outputs, (*rows.ends.shape, *outputs.shape)), rows)


@_compiled
def forward(network: Network, windows: Array) -> Array:
    """The outputs for windows of features (rows, sequence_length, features), without dropout."""
    return jax.vmap(lambda window: network(window, None))(windows)


def _windows(network: Network, features: Array, ends: Array) -> Array:
    """The window that ends with each of the bars, shape (ends, sequence_length, features)."""
    return features[ends[:, None] + jnp.arange(1 - network.sequence_length, 1)]


def _outputs(network: Network, features: Array, rows: Rows) -> Array:
    """The outputs for every row, CHUNK rows at a time: memory for the widest layer is that of one chunk."""

    def chunk(ends: Array) -> Array:
        return jax.vmap(lambda window: network(window, None))(_windows(network, features, ends))

    outputs: Array = jax.lax.map(chunk, rows.ends.reshape(-1, CHUNK))
    return outputs.reshape(rows.ends.shape[0], -1)


def _mean_loss(plan: Plan, numbers: Numbers, outputs: Array, rows: Rows) -> Array:
    each = losses(plan, numbers, outputs, rows.targets)
    return jnp.sum(jnp.where(jnp.arange(each.shape[0]) < rows.count, each, 0.0)) / rows.count
