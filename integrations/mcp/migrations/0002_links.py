import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('mcp', '0001_tables'),
        ('oauth', '0001_tables'),
        ('stores', '0001_tables'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='pendingaction',
            name='agent',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='oauth.agent'),
        ),
        migrations.AddField(
            model_name='pendingaction',
            name='decided_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='pendingaction',
            name='store',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='stores.store'),
        ),
        migrations.AddIndex(
            model_name='pendingaction',
            index=models.Index(fields=['store', '-created_at', '-id'], name='pending_action_newest'),
        ),
    ]
