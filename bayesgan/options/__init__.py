"""Every setting of a run, one field each, and what follows from them. Start with options.py."""

from bayesgan.options.flags import add_flags, check_stored, check_values, finite, flag_words, given_flags, option
from bayesgan.options.loading import data_options, load_data, with_counted_labels
from bayesgan.options.options import Networks, Options, script_name
from bayesgan.options.recipes import RECIPES
from bayesgan.options.resolve import check_given, explain, idle, resolve, usual_thin
from bayesgan.options.roles import GROUPS, ROLES, Engines, default_engines

__all__ = ["Engines", "GROUPS", "Networks", "Options", "RECIPES", "ROLES", "add_flags", "check_given", "check_stored",
           "check_values", "data_options", "default_engines", "explain", "finite", "flag_words", "given_flags", "idle",
           "load_data", "option", "resolve", "script_name", "usual_thin", "with_counted_labels"]
