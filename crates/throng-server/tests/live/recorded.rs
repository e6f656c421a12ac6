//! The recorded v1 conversation, replayed against this build in both forms.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use throng_wire::native::json as form;
use throng_wire::native::v1::server_frame::Frame;
use throng_wire::native::v1::{ClientFrame, ServerFrame};

use super::Server;
use super::client::{Came, Client, Speak};

const CONVERSATION: &str = include_str!("../../../throng-wire/tests/v1/conversation.txt");

/// What a run chooses: recorded value to live one.
#[derive(Default)]
struct Chosen {
    tokens: HashMap<String, String>,
    epoch: Option<(u64, u64)>,
    times: HashMap<u64, u64>,
}

impl Chosen {
    /// Whether the live value holds all that the recorded one says.
    fn fits(&mut self, key: &str, recorded: &Value, live: Option<&Value>) -> Result<(), String> {
        let Some(live) = live else { return Err(format!("{key} is missing")) };
        match (key, recorded, live) {
            ("server" | "limits" | "text", ..) => Ok(()),
            ("token", Value::String(recorded), Value::String(live)) => {
                self.tokens.insert(recorded.clone(), live.clone());
                Ok(())
            }
            ("epoch", Value::Number(recorded), Value::Number(live)) => {
                let pair = (recorded.as_u64().unwrap(), live.as_u64().unwrap());
                let known = *self.epoch.get_or_insert(pair);
                if known == pair { Ok(()) } else { Err(format!("epoch {pair:?}, not {known:?}")) }
            }
            ("at", Value::Number(recorded), Value::Number(live)) => {
                let (recorded, live) = (recorded.as_u64().unwrap(), live.as_u64().unwrap());
                let known = *self.times.entry(recorded).or_insert(live);
                if known == live { Ok(()) } else { Err(format!("at {live}, not {known}")) }
            }
            (_, Value::Object(recorded), Value::Object(live)) => {
                recorded.iter().try_for_each(|(key, value)| self.fits(key, value, live.get(key)))
            }
            (_, Value::Array(recorded), Value::Array(live)) if recorded.len() == live.len() => {
                recorded.iter().zip(live).try_for_each(|(r, l)| self.fits(key, r, Some(l)))
            }
            _ if recorded == live => Ok(()),
            _ => Err(format!("{key} is {live}, not {recorded}")),
        }
    }

    /// A recorded request as this run sends it.
    fn live(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), &*value) {
                        ("token", Value::String(recorded)) => {
                            if let Some(live) = self.tokens.get(recorded) {
                                *value = json!(live);
                            }
                        }
                        ("epoch", Value::Number(recorded)) => {
                            if let Some((from, to)) = self.epoch
                                && recorded.as_u64() == Some(from)
                            {
                                *value = json!(to);
                            }
                        }
                        _ => self.live(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.live(value)),
            _ => {}
        }
    }
}

fn to_json(frame: Frame) -> Value {
    let mut out = Vec::new();
    form::encode_server(&ServerFrame { frame: Some(frame) }, &mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn the_recorded_conversation_means_what_it_meant() {
    for speak in Speak::ALL {
        let server = Server::start();
        let mut clients: HashMap<&str, (Client, VecDeque<Value>)> = HashMap::new();
        let mut chosen = Chosen::default();
        for (number, line) in CONVERSATION.lines().enumerate() {
            let mut words = line.splitn(3, ' ');
            let (Some(who), Some(mark), Some(frame)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if who == "#" || mark == "=" {
                continue;
            }
            let mut recorded: Value = serde_json::from_str(frame).unwrap();
            if mark == "<" && recorded.get("welcome").is_some() {
                let client = server.connect(speak);
                let live = json!({ "epoch": client.epoch });
                let welcome = json!({ "epoch": recorded["welcome"]["epoch"] });
                chosen.fits("welcome", &welcome, Some(&live)).unwrap();
                clients.insert(who, (client, VecDeque::new()));
                continue;
            }
            let (client, _) = clients.get_mut(who).unwrap();
            if mark == ">" {
                chosen.live(&mut recorded);
                let text = serde_json::to_vec(&recorded).unwrap();
                let frame: ClientFrame = form::decode_client(&text).unwrap();
                let mut bytes = Vec::new();
                client.encode(&frame, &mut bytes);
                std::io::Write::write_all(&mut client.stream, &bytes).unwrap();
            } else {
                let live = match client.next() {
                    Came::Frame(frame) => to_json(frame),
                    Came::End => panic!("line {}: the end instead of {frame}", number + 1),
                };
                if let Err(difference) = chosen.fits("frame", &recorded, Some(&live)) {
                    panic!(
                        "{speak:?}, line {}: {difference}\nrecorded {recorded}\nlive     {live}",
                        number + 1
                    );
                }
            }
        }
    }
}
