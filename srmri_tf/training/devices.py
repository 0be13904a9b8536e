"""Where a model is trained: the local devices, or many machines; and how they share a batch."""

import contextlib
import functools
import json
import os

import tensorflow as tf

from data_prep.errors import ConfigError, EnvironmentFault

_NO_STEP = 0xFFFFFFF0  # Slurm's numbers from here on: batch scripts, interactive shells


def make_strategy(devices: int | str | None = None) -> tf.distribute.Strategy:
    """The strategy that fits the surroundings; call before TensorFlow runs anything.

    Several machines, if ``TF_CONFIG`` names more than one worker or srun has started several tasks;
    else every local GPU; else the CPU.

    Args:
        devices: Use only the first so many local devices; ``cpu:2`` makes two of the processor, to
            try on one machine how a batch is shared; None takes all.

    Raises:
        ConfigError: ``devices`` is given, but there are several workers; or a broken TF_CONFIG.
        EnvironmentFault: There are fewer devices than asked for.
    """
    resolver = _cluster()
    if resolver is not None:
        if devices is not None:
            raise ConfigError(
                "--devices is for one machine; here there are several workers",
                remedy="Leave it out: every worker uses all of its own",
            )
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    if isinstance(devices, str):
        return mirrored(_logical_cpus(int(devices.removeprefix("cpu:"))))
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if devices is not None and devices > len(found):
        raise EnvironmentFault(
            f"{devices} devices were asked for, but there are {len(found)}",
            remedy="Give a smaller --devices, or none to take all",
        )
    return mirrored(tuple(device.name for device in found[:devices]))


@functools.cache
def mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """The one strategy of this process over these devices.

    TensorFlow numbers the sums over devices anew in every strategy, and refuses a number that had
    another shape before: a second model on the same devices would not train.

    Args:
        devices: Names, such as ``GPU:0``.
    """
    return tf.distribute.MirroredStrategy(devices)


def _logical_cpus(count: int) -> tuple[str, ...]:
    """Names of so many devices that the processor is divided into.

    Raises:
        EnvironmentFault: TensorFlow has started with fewer, and cannot be divided any more.
    """
    processor = tf.config.list_physical_devices("CPU")[0]
    with contextlib.suppress(RuntimeError):  # it has started
        if len(tf.config.get_logical_device_configuration(processor) or ()) < count:
            tf.config.set_logical_device_configuration(
                processor, [tf.config.LogicalDeviceConfiguration()] * count
            )
    names = tuple(device.name for device in tf.config.list_logical_devices("CPU"))
    if len(names) < count:
        raise EnvironmentFault(
            f"cpu:{count} was asked for, but TensorFlow has started with {len(names)} of the "
            "processor",
            remedy="Choose the devices before anything else in this process uses TensorFlow",
        )
    return names[:count]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type in (None, "chief"):
        return True
    # Worker 0 stands in where the cluster has no chief.
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs


def share(
    strategy: tf.distribute.Strategy, data: tf.data.Dataset, batch: int
) -> tf.distribute.DistributedDataset:
    """Deal every batch to the replicas in equal, consecutive parts.

    Args:
        strategy: Whose replicas.
        data: Elements of ``batch`` samples, the same on every worker.
        batch: A multiple of the number of replicas.
    """
    replicas = strategy.num_replicas_in_sync
    part = batch // replicas

    def of_this_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local * part

        def parts(*images: tf.Tensor) -> tf.data.Dataset:
            mine = (image[first : first + local * part] for image in images)
            shapes = [(local, part, *image.shape[1:]) for image in images]
            dealt = (tf.reshape(i, shape) for i, shape in zip(mine, shapes, strict=True))
            return tf.data.Dataset.from_tensor_slices(tuple(dealt))

        dealt = data if replicas == 1 else data.flat_map(parts)
        return dealt.prefetch(tf.data.AUTOTUNE)

    return strategy.distribute_datasets_from_function(of_this_worker)


def _cluster() -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """The resolver of a cluster of more than one worker, or None."""
    text = os.environ.get("TF_CONFIG")
    if text:
        try:
            said = json.loads(text)
            cluster = said.get("cluster") or {}
            workers = sum(len(cluster.get(job) or ()) for job in ("chief", "worker"))
            if workers > 1:  # this task must be one of them
                cluster[said["task"]["type"]][said["task"]["index"]]
        except (ValueError, AttributeError, TypeError, KeyError, IndexError) as error:
            raise ConfigError(
                f"the variable TF_CONFIG does not describe a cluster and its task ({error!r})",
                remedy="Correct it, or unset it to train on this machine alone",
            ) from None
        return tf.distribute.cluster_resolver.TFConfigClusterResolver() if workers > 1 else None
    return _slurm_step()


def _slurm_step() -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """The resolver of the several tasks that srun has started, or None.

    A batch script is one process, whatever number of tasks its job may start with srun. GPUs are
    dealt here: TensorFlow's resolver asks nvidia-smi, which may be absent or list none.
    """
    step, tasks = (os.environ.get(f"SLURM_STEP_{name}", "") for name in ("ID", "NUM_TASKS"))
    started = step.isdecimal() and int(step) < _NO_STEP and "SLURM_PROCID" in os.environ
    if not (started and tasks.isdecimal() and int(tasks) > 1):
        return None
    on_a_node = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1")  # such as 2(x3),1
    most = max(int(part.partition("(")[0]) for part in on_a_node.split(","))
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) >= most > 1:  # else srun has dealt them
        share, mine = len(gpus) // most, int(os.environ.get("SLURM_LOCALID", "0"))
        tf.config.set_visible_devices(gpus[mine * share : (mine + 1) * share], "GPU")
    return tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=most, gpus_per_task=1, auto_set_gpu=False
    )
