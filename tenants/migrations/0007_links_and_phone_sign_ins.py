from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_refresh_token_family")]

    operations = [
        migrations.AddField(
            "signinlink",
            "made_by",
            models.ForeignKey(
                null=True, on_delete=models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            "refreshtoken",
            "by_phone",
            models.BooleanField(default=False, help_text="Whether a code to a phone alone began this family."),
        ),
    ]
