# Under this name, behind that of a measure, stands what chance would give.
CHANCE_SUFFIX = "_chance"
