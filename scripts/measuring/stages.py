"""In which stage a node's sampled requests spent their time, from the histograms of its /metrics before and after a load."""
import re, urllib.request

FAMILY = "kafka_network_requestmetrics_"
# In the order in which a request goes through them; append and file are parts of handling.
STAGES = {"requestqueuetimems": "queue", "decodetimems": "decode", "localtimems": "handling", "appendtimems": "of it append",
          "filetimems": "of it file", "remotetimems": "wait", "encodetimems": "encode", "responsequeuetimems": "response queue",
          "responsesendtimems": "send", "totaltimems": "total"}
LINE = re.compile(FAMILY + r"(\w+?)_(bucket|sum|count)\{(.*)\} (\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')


def scrape(address):
    """The histograms as they stand: for each request and stage its buckets by upper end in ms, its sum and its count."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = {}
    for line in text.splitlines():
        if not (match := LINE.match(line)) or match[1] not in STAGES:
            continue
        labels, value = dict(LABEL.findall(match[3])), float(match[4])
        histogram = found.setdefault(labels["request"], {}).setdefault(match[1], {"buckets": {}, "sum": 0.0, "count": 0.0})
        if match[2] == "bucket":
            histogram["buckets"][labels["le"]] = value
        else:
            histogram[match[2]] = value
    return found


def between(before, after):
    """The histograms of the request that most were sampled of between two scrapes; none where nothing was."""
    def less(new, old):
        buckets = {end: value - (old or {"buckets": {}})["buckets"].get(end, 0) for end, value in new["buckets"].items()}
        return {"buckets": buckets, **{name: new[name] - (old or {}).get(name, 0) for name in ("sum", "count")}}
    requests = {request: {stage: less(new, before.get(request, {}).get(stage)) for stage, new in stages.items()}
                for request, stages in after.items()}
    sampled = {request: stages.get("totaltimems", {"count": 0})["count"] for request, stages in requests.items()}
    most = max(sampled, key=sampled.get, default=None)
    return {"request": most, "stages": requests[most]} if most and sampled[most] > 0 else None


def total(parts):
    """The histograms of several turns as one."""
    parts = [part for part in parts if part]
    if not parts:
        return None
    sums = {}
    for part in parts:
        for stage, histogram in part["stages"].items():
            into = sums.setdefault(stage, {"buckets": {}, "sum": 0.0, "count": 0.0})
            into["sum"] += histogram["sum"]
            into["count"] += histogram["count"]
            for end, value in histogram["buckets"].items():
                into["buckets"][end] = into["buckets"].get(end, 0) + value
    return {"request": parts[0]["request"], "stages": sums}


def below(histogram, share):
    """The upper end of the bucket in which this share of the requests is reached."""
    ends = sorted(histogram["buckets"], key=lambda end: float("inf") if end == "+Inf" else float(end))
    for end in ends:
        if histogram["buckets"][end] >= share * histogram["count"]:
            return f"> {ends[-2]}" if end == "+Inf" else f"<= {end}"
    return "-"


def table(found):
    """A row for each stage that any request came through: its mean, its share of all time, and in which bucket p50 and p99 lie."""
    whole = found["stages"]["totaltimems"]
    lines = [f"| {found['request']}, {whole['count']:,.0f} sampled | mean, ms | share | p50, ms | p99, ms |",
             "| --- | --- | --- | --- | --- |"]
    for stage, name in STAGES.items():
        histogram = found["stages"].get(stage)
        if histogram and histogram["count"] and histogram["sum"]:
            lines.append(f"| {name} | {histogram['sum'] / histogram['count']:.3g} | {100 * histogram['sum'] / whole['sum']:.0f} % | "
                         f"{below(histogram, 0.5)} | {below(histogram, 0.99)} |")
    return "\n".join(lines)
