//! Prompts of a wanted length that no server has seen before: common words in random order.

/// Common English words. In most vocabularies each one, with the space before it, is a token.
const WORDS: &str = "about above across after again against always among animal answer around away back because become \
    before began begin behind being below between black blue body book both bring build business call came carry center \
    change children city class clear close cold color come complete could country course cover cross current dark day \
    deep different direct does door down draw drive during each early earth east easy energy enough even ever every \
    example face fact family far fast father feel few field figure final find fire first five fly follow food force \
    form four free friend from front full game gave general give gold good great green ground group grow half hand \
    happen hard have head hear heart heat help here high hold home hour house human hundred idea important inside \
    interest island just keep kind king know land language large last late laugh learn leave left less letter level \
    life light line list listen little live long look low machine main make many map mark matter mean measure men might \
    mile mind minute money month moon more morning most mother mountain move much music name natural near need never \
    new next night north note nothing notice number object ocean often once only open order other over own page paper \
    part pass past pattern people person picture piece place plain plan plant play point power present problem produce \
    product question quick rain reach read ready real reason record red remember rest right river road rock room round \
    rule same school science sea second seem sentence serve set several shape ship short should show side simple since \
    size sleep slow small snow some song soon sound south space special stand star start state stay step still stop \
    story street strong study such summer sun sure surface system table take talk teach tell ten test than that their \
    them then there these they thing think this those though thought thousand three through time together took top \
    toward town travel tree true turn under unit until upon usual very voice wait walk wall want war warm watch water \
    week weight well west what wheel when where which while white whole wide will wind winter with without woman wonder \
    wood word work world would write year young";

/// A stream of words that depends on its seed alone (SplitMix64).
pub struct Words {
    words: Vec<&'static str>,
    state: u64,
}

impl Words {
    /// Words for one request of one run: no two have the same seed.
    pub fn new(seed: u64, case: &str, run: u32) -> Self {
        let state = case.bytes().fold(seed ^ u64::from(run) << 32, |state, byte| mix(state ^ u64::from(byte)));
        Self { words: WORDS.split_whitespace().collect(), state }
    }

    /// So many words, with spaces between them.
    pub fn take(&mut self, count: usize) -> String {
        let words: Vec<&str> = (0..count)
            .map(|_| {
                let index = self.next() % self.words.len() as u64;
                self.words[index as usize]
            })
            .collect();
        words.join(" ")
    }

    /// A number in `0..1`.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_words_and_another_one_others() {
        let take = |seed, case, run| Words::new(seed, case, run).take(20);
        assert_eq!(take(1, "short", 0), take(1, "short", 0));
        assert_eq!(take(1, "short", 0).split(' ').count(), 20);
        for other in [take(2, "short", 0), take(1, "prompt", 0), take(1, "short", 1)] {
            assert_ne!(take(1, "short", 0), other);
        }
    }
}
