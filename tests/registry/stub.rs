//! A registry that fails as it is told to: what a real one does not do on demand. It follows the
//! documented protocol as far as the program under test uses it, and compares nothing.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Where its own ids begin: beyond those of a real registry that was asked before.
const OWN_IDS_FROM: u64 = 1_000_000;

/// What it does before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// So many answers of a status first.
    Fails {
        status: u16,
        times: usize,
    },
    /// Every answer about ids of others is this status.
    HidesForeign {
        status: u16,
    },
    /// Only whoever shows this header is answered.
    Wants(String),
    /// Another server altogether.
    Stranger,
}

#[derive(Default)]
struct Shelf {
    ids: HashMap<String, u64>,
    foreign: HashMap<u64, String>,
    questions: Vec<String>,
}

pub(crate) struct Stub {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    shelf: Arc<Mutex<Shelf>>,
}

impl Stub {
    pub(crate) fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stub = Self {
            port: listener.local_addr().unwrap().port(),
            mood: Arc::new(Mutex::new(mood)),
            shelf: Arc::default(),
        };
        let (mood, shelf) = (Arc::clone(&stub.mood), Arc::clone(&stub.shelf));
        // ends with the program
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // a client that went away is none of our business
                let _ = serve(stream, &mood, &shelf);
            }
        });
        stub
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Puts a schema of somebody else there.
    pub(crate) fn put(&self, id: u64, schema: &str) {
        let mut shelf = self.shelf.lock().unwrap();
        shelf.foreign.insert(id, schema.to_owned());
    }

    /// Every question so far: method and path.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.shelf.lock().unwrap().questions.clone()
    }
}

fn serve(stream: TcpStream, mood: &Mutex<Mood>, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        head.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let question = head.first().cloned().unwrap_or_default();
    let question = question.trim_end_matches(" HTTP/1.1").to_owned();

    let (status, answer) = {
        let mut shelf = shelf.lock().unwrap();
        shelf.questions.push(question.clone());
        let mut mood = mood.lock().unwrap();
        match &mut *mood {
            Mood::Fails { status, times } if *times > 0 => {
                *times -= 1;
                (
                    *status,
                    json!({"error_code": 50_002, "message": "try again\nlater"}),
                )
            }
            Mood::HidesForeign { status } if question.starts_with("GET /schemas/ids/") => (
                *status,
                json!({"error_code": 50_002, "message": "no leader"}),
            ),
            Mood::Wants(wanted) if header("authorization").as_ref() != Some(wanted) => {
                (401, json!({"error_code": 401, "message": "Unauthorized"}))
            }
            Mood::Stranger => (404, json!("no such page")),
            _ => shelf.answer(&question, &body),
        }
    };
    let answer = answer.to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

impl Shelf {
    fn answer(&mut self, question: &str, body: &[u8]) -> (u16, Value) {
        let schema = serde_json::from_slice::<Value>(body)
            .ok()
            .and_then(|body| body["schema"].as_str().map(str::to_owned));
        let known = schema.as_ref().and_then(|schema| self.ids.get(schema));
        if let Some(id) = question.strip_prefix("GET /schemas/ids/") {
            let id: u64 = id.parse().unwrap();
            let ours = self.ids.iter().find(|(_, known)| **known == id);
            return match ours.map(|(schema, _)| schema).or(self.foreign.get(&id)) {
                Some(schema) => (200, json!({ "schema": schema })),
                None => (
                    404,
                    json!({"error_code": 40_403, "message": "Schema not found"}),
                ),
            };
        }
        if question.starts_with("POST /subjects/") && question.ends_with("/versions") {
            let next = self.ids.len() as u64 + OWN_IDS_FROM;
            let id = *self.ids.entry(schema.unwrap()).or_insert(next);
            return (200, json!({ "id": id }));
        }
        match known {
            Some(id) => (200, json!({ "id": id })),
            None => (
                404,
                json!({"error_code": 40_401, "message": "Subject not found"}),
            ),
        }
    }
}
