"""The `nearline` command: the court's own commands, and those that the rooms bring.

Commands are found by name and imported only when used, so `nearline --help` is instant and
the court imports no room.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

import click

from nearline import __version__
from nearline.errors import NearlineError
from nearline.say import say

OWN_COMMANDS = {
    "demo": "nearline.demo.commands:demo",
    "up": "nearline.embedded.commands:up",
    "doctor": "nearline.doctor.commands:doctor",
    "bench": "nearline.bench.commands:bench",
    "top": "nearline.top.commands:top",
}
GROUP = "nearline.commands"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*OWN_COMMANDS, *entry_points(group=GROUP).names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in OWN_COMMANDS:
            found = EntryPoint(cmd_name, OWN_COMMANDS[cmd_name], GROUP).load()
        elif cmd_name in entry_points(group=GROUP).names:
            found = entry_points(group=GROUP)[cmd_name].load()
        else:
            return None
        assert isinstance(found, click.Command)
        return found


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=say(
        "Nearline: what a customer just did becomes what that customer sees next.\n\n"
        "Start with `nearline demo`. When something is wrong: `nearline doctor`.\n"
        "Settings are NEARLINE_* variables; NEARLINE_LANG=zh 使用中文.",
        "Nearline：顾客刚刚做了什么，决定接下来看到什么。\n\n"
        "从 `nearline demo` 开始；出了问题用 `nearline doctor`。\n"
        "配置使用 NEARLINE_* 环境变量；NEARLINE_LANG=en for English.",
    ),
)
@click.version_option(__version__, prog_name="nearline")
def commands() -> None:
    """Hold the commands; see the help text above."""


def main() -> None:
    """Run the command line; what a person can mend becomes one sentence and exit code 1."""
    try:
        code = commands(standalone_mode=False)
    except NearlineError as error:
        click.secho(str(error), fg="red", err=True)
        sys.exit(1)
    except click.Abort:
        click.echo(say("Stopped.", "已停止。"), err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        if not error.filename:
            raise
        text = f"{error.filename}: {error.strerror}. Nearline's own folder is NEARLINE_HOME."
        click.secho(text, fg="red", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


__all__ = ["commands", "main"]
