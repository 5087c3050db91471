"""What the dashboard shows: its rows from top to bottom, freshness first."""

from __future__ import annotations

from panel import Panel, Query, heatmap, quantile, rate, spread

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Freshness 新鲜度",
        (
            heatmap(
                "Age of the newest event in each recommendation 推荐所见最新事件的年龄",
                "Since Nearline could know the event. 自 Nearline 获知该事件起。",
                "nearline_freshness_ms",
                "ms",
                16,
            ),
            Panel(
                "Freshness p50, p99 新鲜度 p50、p99",
                "",
                spread("nearline_freshness_ms"),
                "ms",
                fault_above=3_000,
            ),
        ),
    ),
    (
        "Answers 应答",
        (
            Panel(
                "Answers a second 每秒应答",
                "By the role of the bundle that answered. 按应答的模型包角色。",
                (
                    Query(
                        rate("nearline_recommend_latency_ms_count", "bundle_role"),
                        "recommend {{bundle_role}}",
                    ),
                    Query(rate("nearline_scores_latency_ms_count"), "scores"),
                    Query(rate("nearline_churn_latency_ms_count"), "churn"),
                    Query(rate("nearline_tags_latency_ms_count"), "tags"),
                ),
                "reqps",
            ),
            Panel(
                "Time to recommend, inside 推荐耗时（服务内）",
                "The deadline is 150 ms. 时限为 150 毫秒。",
                spread("nearline_recommend_latency_ms", "bundle_role"),
                "ms",
                fault_above=150,
            ),
            Panel(
                "Scores and tags, p99 评分与标签 p99",
                "",
                (
                    Query(quantile(0.99, "nearline_scores_latency_ms"), "scores"),
                    Query(quantile(0.99, "nearline_churn_latency_ms"), "churn"),
                    Query(quantile(0.99, "nearline_tags_latency_ms"), "tags"),
                ),
                "ms",
            ),
            heatmap(
                "Time to recommend 推荐耗时分布",
                "All roles. 所有角色。",
                "nearline_recommend_latency_ms",
                "ms",
                8,
            ),
            Panel(
                "Stages, p99 各阶段 p99",
                "Where the time of an answer goes. 应答时间花在哪里。",
                spread("nearline_stage_latency_ms", "stage", (0.99,)),
                "ms",
            ),
            Panel(
                "Refused since overloaded 因过载拒绝（429）",
                "",
                (Query(rate("nearline_overloaded_total"), "429"),),
                "reqps",
                fault_above=0,
            ),
        ),
    ),
    (
        "Degradation and rules 降级与规则",
        (
            Panel(
                "Degraded answers a second 每秒降级应答",
                "By what was missing; the names stand in docs/degraded.md. 按缺少的部分。",
                (
                    Query(
                        rate("nearline_degraded_total", "answer, missing"), "{{answer}} {{missing}}"
                    ),
                ),
                "reqps",
                width=12,
            ),
            Panel(
                "Degraded, by bundle 降级（按模型包角色）",
                "",
                (Query(rate("nearline_degraded_total", "bundle_role"), "{{bundle_role}}"),),
                "reqps",
                width=6,
            ),
            Panel(
                "Rules broken 违反规则",
                "Since the gateway started; must stay at 0. 自网关启动起，必须为 0。",
                (
                    Query(
                        "sum by (rule) (nearline_rule_violations_total) or on() vector(0)",
                        "broken 违反 {{rule}}",
                    ),
                ),
                kind="stat",
                width=6,
                fault_above=0,
            ),
        ),
    ),
    (
        "Events 事件",
        (
            Panel(
                "Events a second, by outcome 每秒事件（按受理结果）",
                "",
                (Query(rate("nearline_events_total", "outcome"), "{{outcome}}"),),
                "cps",
            ),
            Panel(
                "Collector, p99 by call 采集器 p99（按调用）",
                "",
                spread("nearline_collector_request_seconds", "call", (0.99,)),
                "s",
            ),
            Panel(
                "Dead letters 死信",
                "Rejected events that wait for a person. 等待处理的被拒事件。",
                (Query("sum(nearline_dead_letters)", "dead letters 死信"),),
                kind="stat",
                width=4,
                fault_above=0,
            ),
            Panel(
                "Event log 事件日志",
                "1 while the collector reaches it. 采集器能连上时为 1。",
                (Query("min(nearline_event_log_up)", "up 正常"),),
                kind="stat",
                width=4,
            ),
        ),
    ),
    (
        "Lag 延迟",
        (
            Panel(
                "Stream worker: event to feature 流处理：事件到特征",
                "",
                spread("nearline_stream_lag_ms"),
                "ms",
                fault_above=1_000,
            ),
            Panel(
                "Behind the log, by partition 落后日志（按分区）",
                "",
                (
                    Query(
                        "max by (partition) (nearline_stream_partition_lag_ms)",
                        "partition 分区 {{partition}}",
                    ),
                ),
                "ms",
                fault_above=1_000,
            ),
            Panel(
                "Since items in memory followed the log 内存商品距上次跟进日志",
                "Of the replica that is furthest behind. 最落后的副本。",
                (Query("max(nearline_item_lag_ms)", "items 商品"),),
                "ms",
                fault_above=1_000,
            ),
            Panel(
                "Worked on and archived 处理与归档",
                "",
                (
                    Query(rate("nearline_stream_events_total"), "worker 流处理"),
                    Query(rate("nearline_history_events_total"), "history 历史"),
                ),
                "cps",
            ),
            Panel(
                "Waiting 等待中",
                "Events for their file, exposures for the log. 待写文件的事件，待写日志的曝光。",
                (
                    Query("sum(nearline_history_waiting_events)", "events 事件"),
                    Query("sum(nearline_exposures_waiting)", "exposures 曝光"),
                ),
            ),
            Panel(
                "Lost, unreadable, done again 丢失、无法读取、重做",
                "Exposures and vectors lost since the start; the others a second. "
                "曝光与向量为启动以来的丢失数，其余为每秒。",
                (
                    Query("sum(nearline_exposures_lost)", "exposures lost 丢失曝光"),
                    Query("sum(nearline_served_dropped)", "vectors dropped 丢弃向量"),
                    Query(rate("nearline_stream_unreadable_total"), "unreadable 无法读取"),
                    Query(rate("nearline_stream_conflicts_total"), "conflicts 冲突"),
                ),
            ),
        ),
    ),
    (
        "Parts 部件",
        (
            Panel(
                "Which parts answer 部件是否应答",
                "",
                (Query('up{job=~"nearline-.*"}', "{{job}} {{instance}}"),),
                kind="stat",
                width=16,
            ),
            Panel(
                "Partitions held 处理中的分区",
                "0 means that nobody works. 为 0 表示没有流处理在工作。",
                (Query("sum(nearline_stream_partitions_held)", "partitions 分区"),),
                kind="stat",
                width=8,
            ),
        ),
    ),
)
