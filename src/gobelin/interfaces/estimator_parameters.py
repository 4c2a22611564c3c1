"""Parameters of the scikit-learn estimators: those of the fusion are nested, as `fusion__steps`, so
that a grid can name them.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, Self

from sklearn.base import BaseEstimator

from gobelin.core import catalog
from gobelin.core.errors import nearest
from gobelin.prediction.fusion_choice import AUTO, WITHOUT_POOL

NESTED = "fusion__"  # before the name of a setting of the fusion


class NestedFusion(BaseEstimator):
    """An estimator with a `fusion`: a component's name, 'auto', 'all', or a fusion object."""

    fusion: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name. deep: those of the fusion too, as `fusion__NAME`."""
        out = dict(super().get_params(deep=False))
        if deep and (fusion := self._named_fusion()) is not None:
            out |= {f"{NESTED}{f.name}": getattr(fusion, f.name) for f in fields(fusion)}
        return out

    def set_params(self, **params: Any) -> Self:  # noqa: ANN401 - as scikit-learn names it
        """Change settings by name. `fusion__steps=40` changes the fusion, which is then an object;
        with 'auto' it is a setting of `concat`. Raises ValueError for an unknown name, GobelinError
        for a wrong value."""
        own = {name: value for name, value in params.items() if not name.startswith(NESTED)}
        if unknown := [name for name in own if name not in self._get_param_names()]:
            raise ValueError(
                f"{type(self).__name__}: no parameter"
                f" {unknown[0]!r}.{nearest(unknown[0], self.get_params())}"
            )
        super().set_params(**own)
        changed = {n.removeprefix(NESTED): v for n, v in params.items() if n.startswith(NESTED)}
        if changed:
            fusion = self._named_fusion()
            if self.fusion == AUTO:
                fusion = catalog.build("fusion", WITHOUT_POOL)
            if fusion is None:
                raise ValueError(
                    f"{NESTED}{next(iter(changed))}: fusion={self.fusion!r} is no single fusion."
                    " Name one, such as fusion='concat'."
                )
            known = [f.name for f in fields(fusion)]
            if unknown := [name for name in changed if name not in known]:
                raise ValueError(
                    f"fusion {type(fusion).__name__.lower()}: no parameter"
                    f" {unknown[0]!r}.{nearest(unknown[0], known)}"
                )
            self.fusion = replace(fusion, **changed)
        return self

    def _named_fusion(self) -> Any:  # noqa: ANN401 - any fusion, a frozen dataclass
        """The fusion as an object; None for 'auto', 'all' and what is no fusion."""
        if not isinstance(self.fusion, str):
            return self.fusion if is_dataclass(self.fusion) else None
        known = self.fusion in catalog.names("fusion")
        return catalog.build("fusion", self.fusion) if known else None
