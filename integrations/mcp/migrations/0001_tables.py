import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
import storeplatform.kernel.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('stores', '0001_tables'),
    ]

    operations = [
        migrations.CreateModel(
            name='PendingAction',
            fields=[
                ('id', models.UUIDField(default=storeplatform.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('tool', models.CharField(max_length=64)),
                ('arguments', models.JSONField()),
                ('scope', models.TextField()),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('approved', 'Approved'), ('rejected', 'Rejected'), ('failed', 'Failed')], default='pending', max_length=8)),
                ('decided_at', models.DateTimeField(null=True)),
                ('outcome', models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.CreateModel(
            name='AgentCall',
            fields=[
                ('id', models.UUIDField(default=storeplatform.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('store_id', models.UUIDField()),
                ('agent_id', models.UUIDField()),
                ('user_id', models.UUIDField()),
                ('member', models.CharField(max_length=200)),
                ('client_id', models.CharField(max_length=255)),
                ('client_name', models.CharField(blank=True, max_length=255)),
                ('token_id', models.BigIntegerField()),
                ('request_id', models.CharField(max_length=64)),
                ('method', models.CharField(max_length=64)),
                ('tool', models.CharField(blank=True, max_length=200)),
                ('arguments_digest', models.CharField(blank=True, max_length=64)),
                ('changed', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), default=list, size=None)),
                ('outcome', models.CharField(choices=[('ok', 'Ok'), ('tool_error', 'Tool Error'), ('pending_approval', 'Pending'), ('insufficient_scope', 'Denied'), ('rate_limited', 'Limited'), ('protocol_error', 'Protocol Error'), ('internal_error', 'Fault')], max_length=20)),
                ('milliseconds', models.PositiveIntegerField()),
                ('ip', models.GenericIPAddressField(null=True)),
                ('occurred_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'indexes': [models.Index(fields=['store_id', '-occurred_at', '-id'], name='agent_call_of_store'), django.contrib.postgres.indexes.BrinIndex(fields=['occurred_at'], name='agent_call_by_age')],
            },
        ),
        migrations.CreateModel(
            name='AgentSettings',
            fields=[
                ('id', models.UUIDField(default=storeplatform.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('approve_destructive', models.BooleanField(default=False)),
                ('allow_refunds', models.BooleanField(default=False)),
                ('store', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='stores.store')),
            ],
            options={
                'abstract': False,
            },
        ),
    ]
