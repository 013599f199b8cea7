from core.tests.fixtures import clean_redis, sms, sms_process

__all__ = ["clean_redis", "sms", "sms_process"]
