"""`nearline doctor`."""

from __future__ import annotations

import click

from nearline.say import say


@click.command(
    help=say(
        "Say what is wrong here, and what to do about it: the installation, the event log, "
        "lags, registries and services. Changes nothing. Ends with 1 when something fails.\n\n"
        "While a demo runs it looks at that, unless NEARLINE_HOME names another folder.\n\n"
        "Examples:\n\n  nearline doctor\n\n  nearline doctor --json | jq '.results[].what'",
        "检查安装、事件日志、延迟、注册表和服务，指出问题与处理办法。"
        "不做任何改动；有失败项时退出码为 1。\n\n"
        "演示运行期间检查演示环境，除非 NEARLINE_HOME 指定了其他目录。\n\n"
        "示例：\n\n  nearline doctor\n\n  nearline doctor --json",
    )
)
@click.option("--json", "as_json", is_flag=True, help=say("Print JSON.", "输出 JSON。"))
def doctor(as_json: bool) -> None:
    """Examine, tell, and end with what was found."""
    from rich.console import Console

    from nearline.doctor.examine import examine
    from nearline.doctor.result import Result, failures, to_json
    from nearline.doctor.view import render
    from nearline.embedded.running import settings_of_what_runs

    settings = settings_of_what_runs()
    results: list[Result] = []
    out, progress = Console(), Console(stderr=True)
    # Looking at the model registry takes seconds: each line appears as soon as it is known.
    with progress.status(say("examining", "检查中")):
        for result in examine(settings):
            results.append(result)
            if not as_json:
                out.print(render(result), soft_wrap=True)
    if as_json:
        click.echo(to_json(results))
    elif not failures(results):
        out.print(say("Nothing fails.", "没有失败项。"))
    raise SystemExit(1 if failures(results) else 0)
