from core.tests.fixtures import clean_redis, google_process, mail, mail_process, sms, sms_process

__all__ = ["clean_redis", "google_process", "mail", "mail_process", "sms", "sms_process"]
