//! Where the mean ack's time went: in the generator, in the server's stages, and the rest, which is the kernel's and
//! the client's.
//!
//! Neighbours: the recorder measured the first, the witness asked the server for the second, `counted` says whether
//! that is believed. The three are one whole; how much of it is the rest is told, and nothing is moved into it.

use serde::{Deserialize, Serialize};

use super::InFlight;
use crate::recorder::Sample;

/// A rest that is more than this share of the mean ack is said in words: the stages are to explain nine tenths.
pub const REST_SHARE_MAX: f64 = 0.1;

/// Of the acks that came while load was offered, to those who were there all the time: the means, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AckPath {
    /// How many they are.
    pub acks: u64,
    /// From the intended time to the ack.
    pub client_us: f64,
    /// Of it, in the generator: from the intended time until the kernel was handed the first byte.
    pub generator_us: f64,
    /// Sends that were there at once.
    pub in_generator: InFlight,
    /// In the server's stages, by its clock; `None` where it does not tell or is not believed.
    pub server_us: Option<f64>,
    /// The rest; below zero where the parts are more than the whole. `None` where the server's part is not known.
    pub kernel_and_client_us: Option<f64>,
    /// That rest as a share of the whole.
    pub kernel_and_client_share: Option<f64>,
}

impl AckPath {
    /// Without the server's part.
    pub fn of(samples: &[Sample]) -> Self {
        let sum = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
        let acks: u64 = samples.iter().map(|it| it.ack.count).sum();
        let ack_ms = sum(|it| it.ack.count as f64 * it.ack.mean_ms);
        let generator_ms = sum(|it| it.generator.count as f64 * it.generator.mean_ms);
        let seconds = sum(|it| it.seconds).max(1e-9);
        let mean_us = |ms: f64| ms * 1e3 / acks.max(1) as f64;
        Self {
            acks,
            client_us: mean_us(ack_ms),
            generator_us: mean_us(generator_ms),
            in_generator: InFlight {
                measured: sum(|it| it.in_generator * it.seconds) / seconds,
                by_littles_law: generator_ms / 1e3 / seconds,
            },
            ..Self::default()
        }
    }

    /// With the mean of the server's stages, where it is known.
    pub fn served(self, server_us: Option<f64>) -> Self {
        let server_us = server_us.filter(|_| self.acks > 0);
        let rest = server_us.map(|it| self.client_us - self.generator_us - it);
        Self {
            server_us,
            kernel_and_client_us: rest,
            kernel_and_client_share: rest.map(|it| it / self.client_us.max(1e-9)),
            ..self
        }
    }

    /// In words that the parts do not explain the whole, where they do not.
    pub fn unexplained(&self) -> Option<String> {
        let (us, share) = (self.kernel_and_client_us?, self.kernel_and_client_share?);
        let percent = share.abs() * 100.0;
        if share > REST_SHARE_MAX {
            return Some(format!(
                "kernel and client are {percent:.0} % of the mean ack ({:.2} ms): more than a tenth of it is in no \
                 stage, neither the generator's nor the server's",
                us / 1e3
            ));
        }
        (share < -REST_SHARE_MAX).then(|| {
            format!("the stages are {percent:.0} % more than the mean ack: they are not of the same sends")
        })
    }

    /// A line for the terminal, without its name; none where nothing was acked.
    pub fn words(&self) -> Option<String> {
        let Self { client_us, generator_us, .. } = self;
        let ms = |us: &f64| us / 1e3;
        let rest = match (self.server_us, self.kernel_and_client_us) {
            (Some(server), Some(rest)) => format!(
                "{:.3} the server's stages, {:.3} kernel and client",
                ms(&server),
                ms(&rest)
            ),
            _ => format!("{:.3} server, kernel and client", ms(&(client_us - generator_us))),
        };
        let words = format!(
            "{:.3} ms on average: {:.3} in the generator, {rest}",
            ms(client_us),
            ms(generator_us)
        );
        (self.acks > 0).then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Nanos;
    use crate::ledger::SendIx;
    use crate::recorder::Recorder;

    /// A thousand sends over three seconds, each with a part here, one in the server and one between, all of other
    /// lengths: the means of the parts are one whole.
    #[test]
    fn the_means_of_the_parts_add_up_to_the_mean_of_the_whole() {
        let mut recorder = Recorder::new(&["room".into()]);
        let (mut samples, mut server_us, mut between_us) = (Vec::new(), 0, 0);
        for send in 0..1_000_u64 {
            let (here, there, between) = (send * 37 % 9_000, 200 + send % 50 * 90, 20 + send % 7);
            (server_us, between_us) = (server_us + there, between_us + between);
            let (ix, intended) = (SendIx(send as u32), Nanos(send * 1_000_000));
            recorder.waits.handed(ix, Duration::from_micros(here));
            let whole = Duration::from_micros(here + there + between);
            // One who was away is in no part of it.
            recorder.acked((ix, 0), intended, intended.plus(whole), true);
            recorder.acked((ix, 0), intended, intended.plus(Duration::from_secs(9)), false);
            if send % 400 == 399 || send == 999 {
                samples.push(Sample { seconds: 1.0, ..recorder.end_second() });
            }
        }
        let path = AckPath::of(&samples).served(Some(server_us as f64 / 1e3));
        let near =
            |is: f64, wanted: f64| assert!((is / wanted - 1.0).abs() < 0.01, "{is} {wanted}");
        assert_eq!((samples.len(), path.acks), (3, 1_000));
        near(path.generator_us, (0..1_000).map(|it| it * 37 % 9_000).sum::<u64>() as f64 / 1e3);
        near(path.generator_us + path.server_us.unwrap() + between_us as f64 / 1e3, path.client_us);
        let rest = path.kernel_and_client_us.unwrap();
        assert!((path.generator_us + path.server_us.unwrap() + rest - path.client_us).abs() < 1e-6);
        assert!(path.kernel_and_client_share.unwrap().abs() < 0.1, "{path:?}");
        assert_eq!(path.unexplained(), None);
        near(path.in_generator.by_littles_law, path.generator_us * 1_000.0 / 3e6);
    }

    fn path(client_us: f64, generator_us: f64) -> AckPath {
        AckPath { acks: 9, client_us, generator_us, ..AckPath::default() }
    }

    #[test]
    fn a_rest_of_more_than_a_tenth_is_said_with_its_share_whichever_side_it_is_on() {
        let of = |server_us: f64| path(2_000.0, 1_000.0).served(Some(server_us)).unexplained();
        assert_eq!((of(810.0), of(1_190.0)), (None, None));
        let said = of(700.0).unwrap();
        assert!(said.starts_with("kernel and client are 15 % of the mean ack (0.30 ms)"), "{said}");
        let said = of(1_300.0).unwrap();
        assert!(said.starts_with("the stages are 15 % more than the mean ack"), "{said}");
        assert_eq!(path(2_000.0, 1_000.0).served(None).unexplained(), None, "nobody knows");
    }

    #[test]
    fn where_the_server_does_not_tell_the_rest_is_its_too() {
        let words = path(2_000.0, 1_500.0).words().unwrap();
        assert_eq!(
            words,
            "2.000 ms on average: 1.500 in the generator, 0.500 server, kernel and client"
        );
        let words = path(2_000.0, 1_500.0).served(Some(400.0)).words().unwrap();
        assert!(words.ends_with("0.400 the server's stages, 0.100 kernel and client"), "{words}");
        assert_eq!(AckPath::default().words(), None, "nothing was acked");
        assert_eq!(AckPath::of(&[]).served(Some(3.0)), AckPath::default());
    }
}
