"""Agents' calls refuse changes, and deletion of what is younger than 400 days."""

from django.db import migrations

TRIGGER = """
CREATE TRIGGER agent_call_append_only BEFORE UPDATE OR DELETE ON mcp_agentcall
FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("mcp", "0002_links"), ("kernel", "0001_database_functions")]
    operations = [
        migrations.RunSQL(TRIGGER, "DROP TRIGGER agent_call_append_only ON mcp_agentcall")
    ]
