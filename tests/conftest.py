from core.tests.fixtures import clean_redis, mail, mail_process, sms, sms_process

__all__ = ["clean_redis", "mail", "mail_process", "sms", "sms_process"]
