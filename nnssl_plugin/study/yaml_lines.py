"""YAML whose entries know their lines, so that a message can name the line of a mistake."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nnssl_plugin.errors import InputError


class Document:
    """A YAML file. `content`: as Python values.

    Raises:
        InputError: it cannot be read, or a key is there twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            loader = _Loader(path.read_text(encoding="utf-8"))
            self._root = loader.get_single_node()
            self.content: Any = None if self._root is None else loader.construct_document(self._root)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path} cannot be read as YAML: {error}") from None

    def line_of(self, location: Sequence[str | int]) -> int:
        """Line of an entry, counted from 1; of what is around it where the entry is missing.

        Args:
            location: keys and list positions from the outermost in.
        """
        node, line = self._root, 1
        for part in location:
            if isinstance(node, yaml.MappingNode):
                found = [(key, value) for key, value in node.value if key.value == str(part)]
                if not found:
                    break
                (key, node), *_ = found
                line = key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line


class _Loader(yaml.SafeLoader):
    """YAML's last of two equal keys wins; here they are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))
