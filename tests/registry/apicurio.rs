//! A real schema registry beside the tests. One for the whole program, in memory, on a port that
//! was free; it ends with the program, however that ends. Without Java or Maven a test says
//! `NOT RUN` and passes, unless `CI=true` or `SEALPOST_REQUIRE_REGISTRY=1`.

use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::site::free_port;
use crate::tell;

const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Registry {
    pub(crate) url: String,
    /// Its standard input is what it lives by: see `start`.
    _keeper: Child,
}

static REGISTRY: OnceLock<Result<Registry, String>> = OnceLock::new();

impl Registry {
    /// The registry, or `None` where there cannot be one.
    pub(crate) fn get() -> Option<&'static Self> {
        match REGISTRY.get_or_init(start) {
            Ok(registry) => Some(registry),
            Err(why) => {
                let is = |name: &str, wanted: &str| {
                    std::env::var(name).is_ok_and(|value| value == wanted)
                };
                assert!(
                    !is("CI", "true") && !is("SEALPOST_REQUIRE_REGISTRY", "1"),
                    "{why}"
                );
                tell(&format!("NOT RUN: a real schema registry ({why})"));
                None
            }
        }
    }

    /// Asks it past the program under test: the status, and what it says.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        ask(&format!("{}{path}", self.url), method, body).unwrap()
    }

    /// Registers a schema under a topic's subject; its id.
    #[track_caller]
    pub(crate) fn register(&self, topic: &str, schema: &str) -> u64 {
        let path = format!("/subjects/{topic}-value/versions");
        let (status, said) = self.ask("POST", &path, Some(&json!({ "schema": schema })));
        assert_eq!(status, 200, "{said}");
        said["id"].as_u64().unwrap()
    }

    /// How many schemas a topic's subject has.
    pub(crate) fn versions(&self, topic: &str) -> usize {
        let (_, said) = self.ask("GET", &format!("/subjects/{topic}-value/versions"), None);
        said.as_array().map_or(0, Vec::len)
    }
}

fn ask(
    url: &str,
    method: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), Box<dyn std::error::Error>> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(20)))
            .build(),
    );
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(url)
        .header("Content-Type", "application/vnd.schemaregistry.v1+json")
        .body(body.map(ToString::to_string).unwrap_or_default())?;
    let mut answer = agent.run(request)?;
    let text = answer.body_mut().read_to_string()?;
    Ok((
        answer.status().as_u16(),
        serde_json::from_str(&text).unwrap_or(Value::Null),
    ))
}

fn start() -> Result<Registry, String> {
    let script = format!("{}/tests/registry/fetch.sh", env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new("bash")
        .arg(script)
        .output()
        .map_err(|e| e.to_string())?;
    if !fetched.status.success() {
        return Err(String::from_utf8_lossy(&fetched.stderr).trim().to_owned());
    }
    let jar = String::from_utf8_lossy(&fetched.stdout).trim().to_owned();
    let java = Command::new("java").arg("-version").output();
    if !java.is_ok_and(|output| output.status.success()) {
        return Err("java is missing: install Java 17 or newer".to_owned());
    }
    let port = free_port();
    // when our end of its standard input is closed, whatever closed it, `read` returns
    let keeper = "java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
                  -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port=$2 -jar \"$1\" </dev/null & \
                  trap 'kill $!' EXIT; read -r _";
    let keeper = Command::new("bash")
        .args(["-c", keeper, "keeper", &jar, &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let registry = Registry {
        url: format!("http://127.0.0.1:{port}/apis/ccompat/v7"),
        _keeper: keeper,
    };
    let until = Instant::now() + PATIENCE;
    // its own default is to compare nothing
    let rule = json!({ "compatibility": "BACKWARD_TRANSITIVE" });
    while !ask(&format!("{}/config", registry.url), "PUT", Some(&rule))
        .is_ok_and(|(status, _)| status == 200)
    {
        if Instant::now() > until {
            return Err(format!("the registry is not ready after {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(registry)
}
