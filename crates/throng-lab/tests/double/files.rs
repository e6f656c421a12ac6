//! The double's HTTP side: what it counts; files sent whole in one request, and fetched by those who may read
//! the message that carries them. One thread a connection, one request each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use throng_wire::native::v1::{self, event::What};

use super::{Sin, World};

pub fn listen(world: &Arc<Mutex<World>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let world = Arc::clone(world);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let world = Arc::clone(&world);
            // Who asked may be gone before it is answered.
            std::thread::spawn(move || _ = answer(stream.unwrap(), &world));
        }
    });
    address
}

fn answer(mut stream: TcpStream, world: &Mutex<World>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let (mut line, mut user, mut len) = (String::new(), 0, 0);
    lines.read_line(&mut line)?;
    let request = line.clone();
    while line != "\r\n" {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let value = |name: &str| line.strip_prefix(name)?.trim().parse::<u64>().ok();
        user = value("Authorization: Bearer ").unwrap_or(user);
        len = value("Content-Length: ").unwrap_or(len);
    }
    let mut bytes = vec![0; len as usize];
    lines.read_exact(&mut bytes)?;
    let (status, body) = match request.split(' ').collect::<Vec<_>>()[..] {
        ["POST", "/api/v1/files", _] => world.lock().unwrap().keep(bytes),
        ["GET", "/metrics", _] => world.lock().unwrap().metrics(),
        ["GET", path, _] => world.lock().unwrap().hand_out(user, path),
        _ => panic!("{request}"),
    };
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

impl World {
    fn keep(&mut self, bytes: Vec<u8>) -> (u16, Vec<u8>) {
        self.files.push(bytes);
        let mut file = self.attachment(&format!("{:032x}", self.files.len())).unwrap();
        if self.sins(Sin::KeepAnotherFile) {
            file.hash = blake3::hash(b"another").to_hex().to_string();
        }
        let info = serde_json::json!({"here": file.bytes, "whole": true, "file": file});
        (201, info.to_string().into_bytes())
    }

    fn hand_out(&mut self, user: u64, path: &str) -> (u16, Vec<u8>) {
        let parts: Vec<&str> = path.split('/').collect();
        let ["", "api", "v1", "rooms", room, "messages", seq, "files", id] = parts[..] else {
            panic!("{path}")
        };
        let number = |text: &str| text.parse::<usize>().unwrap();
        let room = &self.rooms[number(room) - 1];
        let member = room.members.contains(&user);
        let Some(What::Message(message)) = &room.order[number(seq) - 1].what else {
            return refused();
        };
        let carried = message.attachments.iter().any(|it| it.id == id);
        let mut bytes = self.files[usize::from_str_radix(id, 16).unwrap() - 1].clone();
        let may = if member { !self.sins(Sin::RefuseFile) } else { self.sins(Sin::LeakFile) };
        if !may || !carried {
            return refused();
        }
        if self.sins(Sin::ChangeFile) {
            bytes[0] ^= 1;
        }
        (200, bytes)
    }

    pub fn attachment(&self, id: &str) -> Option<v1::Attachment> {
        let bytes = self.files.get(usize::from_str_radix(id, 16).ok()? - 1)?;
        let hash = blake3::hash(bytes).to_hex().to_string();
        let (id, bytes) = (id.to_owned(), bytes.len() as u64);
        Some(v1::Attachment { id, bytes, hash, ..v1::Attachment::default() })
    }
}

fn refused() -> (u16, Vec<u8>) {
    let body = r#"{"rejected":{"code":206,"name":"not_member","text":""}}"#;
    (403, body.as_bytes().to_vec())
}
