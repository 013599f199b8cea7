"""Carts app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CartsConfig(AppConfig):
    name = "carts"
    verbose_name = _("Carts and rentals")

    def ready(self) -> None:
        from carts import live, receivers  # noqa: F401 (importing registers them)
        from carts.selectors import lock_targets_of_device
        from carts.services import refuse_while_renting, sweep_old_rentals
        from core import privacy
        from devices.targets import provide_lock_targets

        provide_lock_targets(lock_targets_of_device)
        privacy.prevents_erasure(refuse_while_renting)
        privacy.retention("carts", sweep_old_rentals)
