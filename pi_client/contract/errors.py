"""The one error of the contract."""


class ContractError(ValueError):
    """A payload, topic or message that is not of the wire; the receiver counts it and drops it."""
