//! Section 5, fragmentation, and 10.1.1, fragments made by the sending library.

use throng_wire::ws::Opcode;

use super::{Case, LAST, MORE, PING, PONG, Pieces, TEXT, TEXT_BEGINS, case};

const BOTH: &str = "fragment1fragment2";

pub fn cases() -> Vec<Case> {
    let mut cases = orderly();
    cases.extend(disorderly());
    cases.extend(with_pings_between());
    cases.push(automatic());
    cases
}

fn three_ways(numbers: [u8; 3], make: impl Fn(Case) -> Case) -> Vec<Case> {
    let ways = [Pieces::Frames, Pieces::Whole, Pieces::Bytes(1)];
    let make = |(number, pieces)| make(case(format!("5.{number}")).pieces(pieces));
    numbers.into_iter().zip(ways).map(make).collect()
}

fn orderly() -> Vec<Case> {
    let two = |case: Case| {
        let sent = case.send(TEXT_BEGINS, "fragment1").send(LAST, "fragment2");
        sent.echoes(Opcode::Text, BOTH)
    };
    let ping_between = |case: Case| {
        let sent = case.send(TEXT_BEGINS, "fragment1").send(PING, "ping payload");
        sent.pongs("ping payload").send(LAST, "fragment2").echoes(Opcode::Text, BOTH)
    };
    let mut cases = three_ways([3, 4, 5], two);
    cases.extend(three_ways([6, 7, 8], ping_between));
    cases
}

fn disorderly() -> Vec<Case> {
    let ends_nothing = |case: Case| {
        case.send(LAST, "non-continuation payload").send(TEXT, "Hello, world!").fails(1002)
    };
    let continues_nothing = |case: Case| {
        case.send(MORE, "non-continuation payload").send(TEXT, "Hello, world!").fails(1002)
    };
    let twice = |id: &str, first: u8| {
        let mut twice = case(id);
        for _ in 0..2 {
            twice = twice.send(first, "fragment1").send(TEXT_BEGINS, "fragment2");
            twice = twice.send(LAST, "fragment3");
        }
        twice.fails_at(0, 1002)
    };
    let mut cases = vec![
        case("5.1").send(PING & 0x7f, "fragment1").send(LAST, "fragment2").fails_at(0, 1002),
        case("5.2").send(PONG & 0x7f, "fragment1").send(LAST, "fragment2").fails_at(0, 1002),
        case("5.15")
            .send(TEXT_BEGINS, "fragment1")
            .send(LAST, "fragment2")
            .echoes(Opcode::Text, BOTH)
            .send(MORE, "fragment3")
            .send(TEXT, "fragment4")
            .fails_at(2, 1002),
        twice("5.16", MORE),
        twice("5.17", LAST),
        case("5.18").send(TEXT_BEGINS, "fragment1").send(TEXT, "fragment2").fails_at(1, 1002),
    ];
    cases.extend(three_ways([9, 10, 11], ends_nothing));
    cases.extend(three_ways([12, 13, 14], continues_nothing));
    cases
}

fn with_pings_between() -> Vec<Case> {
    let five = |id: &str, pieces: Pieces| {
        let sent = case(id)
            .send(TEXT_BEGINS, "fragment1")
            .send(MORE, "fragment2")
            .send(PING, "pongme 1!")
            .send(MORE, "fragment3")
            .send(MORE, "fragment4")
            .send(PING, "pongme 2!")
            .send(LAST, "fragment5");
        let answered = sent.pongs("pongme 1!").pongs("pongme 2!");
        answered
            .echoes(Opcode::Text, "fragment1fragment2fragment3fragment4fragment5")
            .pieces(pieces)
    };
    vec![five("5.19", Pieces::Whole), five("5.20", Pieces::Frames)]
}

fn automatic() -> Case {
    let text = vec![b'*'; 65_536];
    let mut sent = case("10.1.1");
    for (at, part) in text.chunks(1300).enumerate() {
        let last = (at + 1) * 1300 >= text.len();
        let fin = if last { LAST } else { 0 };
        sent = sent.send(fin | u8::from(at == 0), part);
    }
    sent.echoes(Opcode::Text, &text)
}
