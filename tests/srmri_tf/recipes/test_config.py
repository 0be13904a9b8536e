"""Recipes, the schedule, and every way a setting can be wrong."""

import os
from pathlib import Path

import pytest

from data_prep.errors import ConfigError
from srmri_tf.recipes import (
    differences,
    load_recipe,
    parse,
    recipe_names,
    to_toml,
)
from srmri_tf.recipes.config import CircleConfig, CircleSchedule, CpceConfig, Schedule

PHASES = ("content", "critic", "adversarial")


def test_the_papers_learning_rates():
    rate = Schedule().rate
    assert [rate(0), rate(49), rate(50)] == [1e-4, 1e-4, 1e-4]
    assert rate(51) == pytest.approx(9.8e-5)
    assert rate(75) == pytest.approx(5e-5)
    assert rate(99) == pytest.approx(2e-6)


def test_phases_follow_each_other_and_each_decays_by_itself():
    schedule = Schedule(epochs=4, warmup_epochs=4, critic_epochs=1, learning_rate=1.0)
    phases = [schedule.phase(e) for e in range(9)]
    assert phases == ["content"] * 4 + ["critic"] + ["adversarial"] * 4
    rates = [schedule.rate(e) for e in range(9)]
    assert rates == [1e-3, 1e-3, 1e-3, 5e-4, 1.0, 1.0, 1.0, 1.0, 0.5]


def test_pairs_and_steps_of_each_phase():
    plain = CpceConfig.model_validate(
        {"batch_size": 12, "objective": {"n_critic": 3}, "schedule": {"steps_per_epoch": 5}}
    )
    assert [plain.pairs_per_step(phase) for phase in PHASES] == [12, 36, 36]
    assert [plain.steps_per_epoch(phase) for phase in PHASES] == [5, 5, 5]
    small = plain.model_copy(
        update={"schedule": plain.schedule.model_copy(update={"warmup_batch_size": 4})}
    )
    assert [small.pairs_per_step(phase) for phase in PHASES] == [4, 36, 36]
    assert [small.steps_per_epoch(phase) for phase in PHASES] == [15, 5, 5]
    circle = CircleConfig.model_validate({"batch_size": 12, "schedule": {"warmup_batch_size": 4}})
    assert [circle.pairs_per_step(phase) for phase in ("degrader", *PHASES)] == [12, 4, 12, 12]
    assert circle.steps_per_epoch("content") == 0  # one pass over the data


def test_a_degrader_that_is_learnt_comes_before_all_else():
    schedule = CircleSchedule(
        degrader_epochs=4, warmup_epochs=2, critic_epochs=1, epochs=2, learning_rate=1.0
    )
    phases = [schedule.phase(e) for e in range(schedule.total)]
    assert phases == ["degrader"] * 4 + ["content"] * 2 + ["critic"] + ["adversarial"] * 2
    rates = [schedule.rate(e) for e in range(schedule.total)]
    assert rates == [1e-3, 1e-3, 1e-3, 5e-4, 1e-3, 1e-3, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "kind"), [("paper-cpce", CpceConfig), ("paper-circle", CircleConfig)]
)
def test_the_paper_recipe_is_the_defaults(name, kind):
    assert differences(load_recipe(name), kind()) == []


def test_circle_defaults_are_the_papers():
    config = CircleConfig()
    weights = config.objective
    assert (weights.cycle, weights.identity, weights.sparsity, weights.tau) == (1, 0.5, 0.001, 0.1)
    assert (weights.supervised, weights.gradient_penalty) == (1, 10)
    assert (config.batch_size, config.generator.dropout) == (64, 0.2)
    assert (config.optimizer.beta_1, config.optimizer.beta_2) == (0.5, 0.9)
    half = CircleConfig.model_validate({"optimizer": {"beta_1": 0.4}})
    assert half.optimizer.beta_2 == 0.9


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 1.0),
        ({"mode": "unsupervised"}, 0.0),
        ({"mode": "semi"}, 0.5),
        ({"mode": "semi", "paired_fraction": 0.1}, 0.1),
    ],
)
def test_modes_say_what_share_of_pairs_is_known(settings, share):
    assert CircleConfig.model_validate(settings).paired_share() == share
    assert CpceConfig().paired_share() == 1.0


@pytest.mark.parametrize(
    "overrides",
    [
        {"mode": "self"},
        {"paired_fraction": 0.5},
        {"mode": "semi", "paired_fraction": 0.0},
        {"mode": "semi", "paired_fraction": 1.0},
        {"mode": "unsupervised", "paired_fraction": 0.1},
        {"generator.dropout": 1.0},
        {"generator.first_stride": 3},
        {"critic.form": "resnet"},
        {"objective.tau": 1.1},
        {"degrader": "linear"},
        {"degrader": "linear", "mode": "unsupervised"},
        {"schedule.degrader_epochs": 1},
        {"degrader": "kspace", "mode": "unsupervised", "schedule.degrader_epochs": 1},
        {"objective.perceptual": 0.1},
    ],
)
def test_bad_circle_settings_are_refused(overrides):
    with pytest.raises(ConfigError):
        load_recipe("paper-circle", overrides)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_survives_its_own_toml(name, tmp_path):
    config = load_recipe(name)
    path = tmp_path / "again.toml"
    path.write_text(to_toml(config))
    assert load_recipe(str(path)) == config


def test_every_fault_is_listed_with_its_path_and_the_nearest_key(tmp_path):
    with pytest.raises(ConfigError) as caught:
        parse(
            {
                "model": "cpce",
                "batchsize": 3,
                "objective": {"lambda_l1": 1, "n_critc": 2, "l1": -1},
                "seed": "x",
            },
            tmp_path / "r.toml",
        )
    message = str(caught.value)
    assert "r.toml" in message
    assert "batchsize: unknown key; did you mean batch_size?" in message
    assert "objective.n_critc: unknown key; did you mean n_critic?" in message
    assert "objective.lambda_l1: unknown key" in message
    assert "objective.l1: " in message
    assert "seed: " in message
    assert caught.value.exit_code == 2


def faults(overrides):
    with pytest.raises(ConfigError) as caught:
        load_recipe("paper-circle", overrides)
    return [line.strip() for line in str(caught.value).splitlines()[1:-1]]


def test_no_fault_hides_another():
    conflicts = {"degrader": "kspace", "schedule.degrader_epochs": 3, "paired_fraction": 0.5}
    found = faults({**conflicts, "generator": 3, "generator.dropout": 9, "seed": -1})
    assert [line.partition(":")[0] for line in found[:3]] == [
        "generator.dropout",
        "seed",
        "generator",
    ]
    assert found[3:] == [
        "paired_fraction is for mode = 'semi', not 'supervised'",
        "F is learnt first only in mode = 'unsupervised', not 'supervised'",
        "degrader = 'kspace' is known: schedule.degrader_epochs must be 0",
    ]


def test_a_default_in_a_faulty_settings_place_is_no_fault():
    taught = {"degrader": "linear", "mode": "unsupervised", "schedule.degrader_epochs": -1}
    (found,) = faults(taught)
    assert found.startswith("schedule.degrader_epochs: Input should be greater")


@pytest.mark.parametrize(
    "overrides",
    [
        {"schedule.epochs": -1},
        {"schedule.epochs": 0},
        {"schedule.learning_rate": 0},
        {"schedule.learning_rate": float("inf")},
        {"schedule.learning_rate": float("nan")},
        {"batch_size": 0},
        {"precision": "half"},
        {"objective.penalty_norm": "column"},
        {"schedule": 3},
    ],
)
def test_bad_ranges_are_refused(overrides):
    with pytest.raises(ConfigError):
        load_recipe("demo" if overrides != {"schedule.epochs": 0} else "paper-cpce", overrides)


def test_a_recipe_may_come_through_a_pipe():
    out, into = os.pipe()
    os.write(into, to_toml(load_recipe("demo")).encode())
    os.close(into)
    try:
        assert load_recipe(f"/dev/fd/{out}", model="cpce") == load_recipe("demo")
    finally:
        os.close(out)


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(ConfigError, match="paper-cpce"):
        load_recipe("papercpce")


def test_broken_toml_names_the_file(tmp_path):
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(ConfigError, match=r"bad\.toml.*not valid TOML"):
        load_recipe(str(tmp_path / "bad.toml"))


def test_an_override_inside_a_plain_value_is_refused():
    with pytest.raises(ConfigError, match="seed"):
        load_recipe("demo", {"seed.deep": 1})


def test_differences_name_path_and_both_values():
    new = load_recipe("paper-cpce", {"objective.l1": 2.0})
    assert differences(CpceConfig(), new) == ["objective.l1: 0.0 there, 2.0 asked for"]


@pytest.mark.parametrize(
    ("objective", "side"),
    [
        ({}, 16),
        ({"vgg_layer": "block3_conv4"}, 9),
        ({"perceptual": 0}, 9),
    ],
)
def test_patches_must_outlast_valid_padding_and_vgg19s_poolings(objective, side):
    assert CpceConfig(objective=objective).min_patch() == side


def test_a_run_of_before_opens_but_a_recipe_with_settings_that_are_gone_does_not(tmp_path):
    before = Path(__file__).parents[2] / "before" / "cpce" / "config.toml"
    text = before.read_text()
    assert "penalty_every = 1\n" in text
    assert "shared_batch = false\n" in text
    assert load_recipe(str(before)).objective.n_critic == 1
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"objective\.shared_batch: unknown key"):
        load_recipe(str(tmp_path / "recipe.toml"))
    # With another value it was another training.
    (tmp_path / "config.toml").write_text(text.replace("penalty_every = 1", "penalty_every = 2"))
    with pytest.raises(ConfigError, match=r"objective\.penalty_every: unknown key"):
        load_recipe(str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("noise = 0.0\nnoise_share = 1.0\nerase = 0.0\n" + text)
    assert load_recipe(str(tmp_path / "config.toml")) == load_recipe(str(before))
    (tmp_path / "config.toml").write_text("noise = 0.01\n" + text)
    with pytest.raises(ConfigError, match="noise: unknown key"):
        load_recipe(str(tmp_path / "config.toml"))


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xef\xbb\xbf" + b'model = "cpce"\n')
    assert load_recipe(str(path)).model == "cpce"


def test_an_own_term_of_a_module_in_a_package_can_be_set():
    config = load_recipe("fast-cpce", {"objective.own.package.module:term": 5.0})
    assert config.objective.own == {"package.module:term": 5.0}
