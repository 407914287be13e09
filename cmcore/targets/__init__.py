"""What is sampled: laws whose density and score are exact at every noise level."""

from cmcore.plugins import load_plugins
from cmcore.targets.base import Described, NoDensity, Target
from cmcore.targets.box_mixture import BoxMixture
from cmcore.targets.circle_mixture import CircleMixture
from cmcore.targets.empirical import Empirical
from cmcore.targets.gallery import GALLERY, Toy, make_target
from cmcore.targets.gaussian_mixture import GaussianMixture
from cmcore.targets.product import Product, random_rotation
from cmcore.targets.samples import Samples
from cmcore.targets.size import Size
from cmcore.targets.sketch import Stroke, read_strokes, sketch_law, write_strokes
from cmcore.targets.table_target import Memorisation, TableTarget
from cmcore.targets.tables import REAL_TABLES, read_table, real_table

__all__ = [
    "GALLERY",
    "REAL_TABLES",
    "BoxMixture",
    "CircleMixture",
    "Described",
    "Empirical",
    "GaussianMixture",
    "Memorisation",
    "NoDensity",
    "Product",
    "Samples",
    "Size",
    "Stroke",
    "TableTarget",
    "Target",
    "Toy",
    "make_target",
    "random_rotation",
    "read_strokes",
    "read_table",
    "real_table",
    "sketch_law",
    "write_strokes",
]

load_plugins(GALLERY, lambda toy: isinstance(toy, Toy))
