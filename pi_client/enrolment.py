"""Becoming and staying a known device: register, wait for approval, rotate the token, enrol anew with a new code."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from .clock import ServerClock
from .identity import Identity, IdentityError, IdentityFile, code_mark, read_identity
from .ports import Cloud, CloudUnreachable, CredentialsRefused, EnrolmentRefused
from .settings import Settings, SettingsError

log = logging.getLogger(__name__)

ROTATE_BEFORE = timedelta(days=3)
# Whatever a token's lifetime, and whether or not renewing works.
ROTATE_EVERY = timedelta(hours=1)
PENDING_WAIT_S = 10.0


class Enrolment:
    """Owned by the cloud thread. `reload` reads `config.json` again, for a code that was typed in meanwhile."""

    def __init__(
        self,
        cloud: Cloud,
        file: IdentityFile,
        reload: Callable[[], Settings],
        server_clock: ServerClock,
    ) -> None:
        self._cloud = cloud
        self._file = file
        self._reload = reload
        self._server_clock = server_clock
        self._rotate_not_before = datetime.min.replace(tzinfo=UTC)
        self.identity = file.load()

    def ensure(self) -> Identity:
        """The identity, registering when there is none.

        Raises EnrolmentRefused, or CloudUnreachable also while staff have not approved.
        """
        if self.identity is None:
            self._register(self._settings())
        assert self.identity is not None
        return self.identity

    def _settings(self) -> Settings:
        try:
            return self._reload()
        except SettingsError as error:
            raise CloudUnreachable(str(error)) from error

    def _register(self, settings: Settings) -> None:
        body = {
            "mac_address": settings.mac_address,
            "serial_number": settings.serial_number,
            "branch_code": settings.branch_code,
            "enrolment_code": settings.enrolment_code,
        }
        claim = self._file.load_claim()
        if claim:
            body["claim"] = claim
        try:
            answer = self._server_clock.ask(lambda: self._cloud.register(body))
        except EnrolmentRefused:
            # A claim that was turned down is spent: the code, if there is one, gets its chance next time.
            self._file.drop_claim()
            raise
        if answer.get("status") == "pending":
            if isinstance(answer.get("claim"), str):
                self._file.save_claim(answer["claim"])
            raise CloudUnreachable("waiting for staff to approve this device", PENDING_WAIT_S)
        try:
            identity = read_identity(answer, enrolled_with=code_mark(settings.enrolment_code))
        except IdentityError as error:
            raise CloudUnreachable(f"registration answer: {error}") from error
        self._keep(identity)
        self._file.drop_claim()
        log.info("registered as device %s", identity.device_id)

    def _keep(self, identity: Identity) -> None:
        self.identity = identity
        self._file.save(identity)

    def keep_config(self, identity: Identity) -> None:
        """Save an identity with a newer configuration."""
        self._keep(identity)

    def rotate_if_due(self, now: datetime | None) -> None:
        """Renew the token in good time. Failures are logged: the old token still works."""
        identity = self.identity
        if identity is None or identity.token_expires_at is None:
            return
        moment = now or datetime.now(UTC)
        if identity.token_expires_at - moment > ROTATE_BEFORE or moment < self._rotate_not_before:
            return
        self._rotate_not_before = moment + ROTATE_EVERY
        try:
            self._rotate(identity)
        except (CloudUnreachable, CredentialsRefused, IdentityError) as error:
            log.warning("token not renewed: %s", error)

    def _rotate(self, identity: Identity) -> None:
        answer = self._cloud.rotate(identity.device_id, identity.token)
        self._keep(identity.with_token(answer))
        log.info("token renewed")

    def recover(self, *, by_broker: bool) -> None:
        """After a refusal: another saved identity, a new code, or (when only the broker refused) a new token.

        When none of these helps the caller waits and tries again; an operator may be about to mend it.
        """
        current = self.identity
        saved = self._file.load()
        if saved is not None and current is not None and saved.token != current.token:
            log.info("using the newer saved identity")
            self.identity = saved
            return
        settings = self._settings()
        if settings.enrolment_code and (current is None or code_mark(settings.enrolment_code) != current.enrolled_with):
            log.info("the configuration holds a new enrolment code: enrolling again")
            self._register(settings)
        elif by_broker and current is not None:
            try:
                self._rotate(current)
            except (CloudUnreachable, CredentialsRefused, IdentityError) as error:
                log.warning("broker refused the token and it could not be renewed: %s", error)
