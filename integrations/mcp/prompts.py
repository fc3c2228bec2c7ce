"""Questions that a store asks often, ready to be picked in an agent's menu."""

from collections.abc import Mapping
from string import Template

import mcp_types as types

PROMPTS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "daily_briefing": (
        "Daily briefing",
        "What happened in the store on a day, and what needs somebody today.",
        {"day": "The day, 2026-05-01."},
        "Write a short briefing of our store for $day. Use get_analytics_summary for that day, "
        "search_orders for orders that are pending or carry risk flags, list_inventory with "
        "low_only for what runs out, search_tickets for open tickets, the overdue ones first, and "
        "list_conversations for customers who wait. Say what needs a person first.",
    ),
    "draft_ticket_reply": (
        "Draft a reply to a ticket",
        "Reads a support ticket and drafts an answer for a person to send.",
        {"ticket_id": "The ticket's id."},
        "Read ticket $ticket_id with get_ticket, and the order it speaks of if it names one. Draft "
        "a friendly, exact answer in the customer's language. Do not send it: show it to me.",
    ),
    "low_stock_review": (
        "Review low stock",
        "Finds products that run out within some days and proposes what to order.",
        {"days": "How many days the stock should last."},
        "List low stock with list_inventory (low_only), look at how fast each sells with "
        "get_analytics_top (products), and propose quantities that last $days days. Ask me before "
        "you call draft_purchase_order.",
    ),
    "weekly_report": (
        "Weekly report",
        "Sales of a week against the week before, with the products that made them.",
        {"week": "The week's first day, 2026-05-04."},
        "Write a report of the week that begins on $week: get_analytics_summary and "
        "get_analytics_timeseries by day for its seven days, get_analytics_top for products and "
        "channels. Compare with the week before, and name three things worth doing.",
    ),
}
MAX_ARGUMENT = 64


def listed() -> list[types.Prompt]:
    return [
        types.Prompt(
            name=name,
            title=title,
            description=description,
            arguments=[
                types.PromptArgument(name=argument, description=said, required=True)
                for argument, said in arguments.items()
            ],
        )
        for name, (title, description, arguments, _) in PROMPTS.items()
    ]


def fill(name: str, given: Mapping[str, str]) -> tuple[str, str] | None:
    """Description and words of a prompt; None for an unknown one or for wrong arguments."""
    found = PROMPTS.get(name)
    if found is None or found[2].keys() != given.keys():
        return None
    if any(len(value) > MAX_ARGUMENT or not value.isprintable() for value in given.values()):
        return None
    return found[1], Template(found[3]).substitute(given)
