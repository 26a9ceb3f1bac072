"""The methods of the paper's tables, as settings of `pretrain`; labels never train the encoder
where the name does not say so.
"""

from __future__ import annotations

from dataclasses import dataclass

from grap_seq.names import nearest


@dataclass(frozen=True)
class Method:
    """How a run is trained.

    Args:
        title: in tables.
        settings: of `pretrain`.
        base: a method whose run of the same seed comes first: it is fine-tuned, or where there are
            settings its median weights are the constant ones.
        published: its name in the paper's tables; None: it is not in them.
        drops_of: a method whose runs come first; the losses that they drop are left out.
    """

    title: str
    settings: tuple[str, ...] = ()
    base: str | None = None
    published: str | None = None
    drops_of: str | None = None

    @property
    def learns_labels(self) -> bool:
        """Whether labels train its encoder."""
        return self.fine_tunes or any(word.startswith("mode=") for word in self.settings)

    @property
    def fine_tunes(self) -> bool:
        """Whether it goes on with the run of its base."""
        return self.base is not None and not self.settings

    @property
    def weighting(self) -> str:
        """Name of its weighting; that of the run it goes out from, where it fine-tunes one."""
        if self.fine_tunes:
            assert self.base is not None
            return METHODS[self.base].weighting
        words = dict(word.split("=", 1) for word in self.settings)
        # Those modes have a weighting of their own, of the same name.
        return words.get("weighting") or words["mode"]


# By name: settings are read before anything slow is imported.
RANDOM = "grap_seq.objectives.noise.RandomTargets"


def noise(count: int) -> tuple[str, ...]:
    """Settings of `pretrain` that add so many losses with random targets."""
    return tuple(f"objective.losses.noise{number}.class={RANDOM}" for number in range(count))


# Of losses of noise, and of the factors of CoLES, beside none and 1.
NOISE, SCALES = (1, 4, 16), (0.01, 100)
METHODS: dict[str, Method] = {
    "supervised": Method("supervised", ("mode=supervised",), published="Supervised"),
    "auxiliary": Method("auxiliary", ("mode=auxiliary",), published="Auxiliary"),
    "equal": Method("equal weights", ("weighting=equal",), published="Equal Weights"),
    "gradnorm": Method("GradNorm", ("weighting=gradnorm",), published="GradNorm"),
    "dwa": Method("DWA", ("weighting=dwa",), published="DWA"),
    "mgda": Method("MGDA", ("weighting=mgda",), published="MGDA"),
    "pcgrad": Method("PCGrad", ("weighting=pcgrad",), published="PCGrad"),
    "grap": Method("GraP", ("weighting=grap",), published="GraP"),
    "fixed": Method("constant weights", ("weighting=fixed",)),
    "equal_tuned": Method(
        "equal weights, fine-tuned", base="equal", published="Equal Weights Tuned"
    ),
    "grap_tuned": Method("GraP, fine-tuned", base="grap", published="GraP Tuned"),
    "default": Method(
        "All4One's own weights", ("weighting=default",), published="All4One (default)"
    ),
    "without_attention": Method(
        "All4One's own weights, without Attn-NNCLR",
        ("weighting=default", "weighting.weights.att_nnclr=0"),
        published="All4One W/O Attn-NNCLR",
    ),
    "grap_medians": Method(
        "medians of GraP's weights, constant",
        ("weighting=fixed",),
        base="grap",
        published="GraP Tuned",
    ),
    "ntp_equal": Method("equal weights", ("objective=ntp", "weighting=equal")),
    "ntp_searched": Method(
        "searched weights", ("objective=ntp", "weighting=searched"), published="Optuna"
    ),
    "ntp_grap": Method("GraP", ("objective=ntp", "weighting=grap"), published="GraP"),
    "grap_none": Method(
        "GraP, no normalization",
        ("weighting=grap", "weighting.normalization=none"),
        published="GraP No norm.",
    ),
    "grap_sum": Method(
        "GraP, weights' sum",
        ("weighting=grap", "weighting.normalization=sum"),
        published="GraP Sum norm.",
    ),
    **{
        f"grap_{percent}": Method(
            f"GraP, {percent} % of the labels",
            ("weighting=grap", f"labels.fraction={percent / 100:g}"),
            published=f"{percent}%",
        )
        for percent in (5, 10, 20, 50)
    },
    **{
        f"{name}_noise{count}": Method(
            f"{title}, {count} loss{'es' * (count > 1)} of noise",
            (f"weighting={name}", *noise(count)),
        )
        for name, title in (("equal", "equal weights"), ("grap", "GraP"))
        for count in NOISE
    },
    **{
        f"{name}_without": Method(
            f"{title}, without the losses that GraP drops", (f"weighting={name}",), drops_of="grap"
        )
        for name, title in (("equal", "equal weights"), ("grap", "GraP"))
    },
    **{
        f"{name}_coles{factor}": Method(
            f"{title}, CoLES times {factor}",
            (f"weighting={name}", f"objective.scales.coles={factor}"),
        )
        for name, title in (("equal", "equal weights"), ("gradnorm", "GradNorm"), ("grap", "GraP"))
        for factor in SCALES
    },
}


def method(name: str) -> Method:
    """Raises ValueError for one that there is not."""
    if name not in METHODS:
        raise ValueError(f"methods: no method {name!r}; {nearest(name, METHODS)}")
    return METHODS[name]
