//! The load runs of the binary: each checks its own result, so here it is that they end, say what
//! they measured, and leave nothing behind.

use crate::site::Site;

#[test]
fn every_workload_ends_with_its_figures_and_leaves_nothing() {
    let site = Site::without_keys("[log]\npartitions = 4\n");
    let report = site.json([
        "bench",
        "--workload",
        "burst,storm,stream",
        "--users",
        "400",
        "--seconds",
        "1",
        "--rate",
        "2000",
    ]);
    assert_eq!(
        (&report["users"], &report["partitions"]),
        (&400.into(), &4.into())
    );
    let results = report["results"].as_array().unwrap();
    let of = |name: &str| {
        results
            .iter()
            .find(|result| result["workload"] == name)
            .unwrap_or_else(|| panic!("{name} in {report}"))
    };
    let phase = |workload: &str, name: &str| {
        let phases = of(workload)["phases"].as_array().unwrap();
        let phase = phases.iter().find(|phase| phase["phase"] == name);
        phase.unwrap_or_else(|| panic!("{name} of {workload} in {report}"))
    };
    for workload in ["burst", "storm"] {
        assert_eq!(phase(workload, "ingest")["count"], 4_000);
        for name in ["settle, render, send", "start again", "replay"] {
            assert_eq!(phase(workload, name)["count"], 400);
        }
    }
    assert_eq!(phase("stream", "settle at full speed")["count"], 4_000);
    let latency = &of("stream")["latency"];
    assert_eq!(latency["events_per_second"], 2_000);
    assert!(latency["samples"].as_u64().unwrap() > 0, "{latency}");
    assert!(
        latency["p50_ms"].as_f64() <= latency["p99_ms"].as_f64(),
        "{latency}"
    );

    let left = std::fs::read_dir(site.data().join("bench"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "every workload cleans up");
}
