//! The temperature that makes confidences mean what they say.
//!
//! Owns the fit of one number on validation (Guo et al. 2017, <https://arxiv.org/abs/1706.04599>, section 4.2): the divisor
//! of the logits that minimizes the negative log likelihood of the truth, or the cross-entropy against the votes where raters
//! disagree: a network that is as sure as a face that half of them saw otherwise is too sure. It does not change which class
//! wins.

use crate::flow::emotion::Emotion;

/// Logits and target.
type Sample = ([f32; Emotion::COUNT], [f32; Emotion::COUNT]);

/// The lowest and the highest temperature, as the model card allows them. Logits that are always right would want 0.
const BOUNDS: (f64, f64) = (0.05, 20.0);

/// Halvings of the logarithm's interval: its width of 6 shrinks below what an `f32` can tell.
const STEPS: usize = 40;

/// The temperature that fits logits best to what they should come to, shares that sum to 1; 1 where there is nothing to fit.
/// Where one emotion has all of the share it is softened by as much as the number of samples leaves in doubt, 1 / (n + 2)
/// (after Platt 1999, "Probabilistic outputs for support vector machines"), or a few pictures that are all right would make
/// the network sure of everything. The same samples in the same order give the same number.
///
/// In the inverse temperature the cross-entropy is convex (it is a log-sum-exp minus a linear term), so its
/// slope changes sign once, and bisection finds where.
pub fn fit_temperature(samples: &[Sample]) -> f32 {
    if samples.is_empty() {
        return 1.0;
    }
    let doubt = 1.0 / (samples.len() as f64 + 2.0);
    let (mut low, mut high) = (BOUNDS.0.ln(), BOUNDS.1.ln());
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        // Where less sharpness would help, the temperature is too low.
        if slope(samples, doubt, (-middle).exp()) > 0.0 { low = middle } else { high = middle }
    }
    let fitted = (0.5 * (low + high)).exp();
    // Rounding must not leave the bounds that the model card checks.
    fitted.clamp(BOUNDS.0, BOUNDS.1) as f32
}

/// The slope of the cross-entropy in the inverse temperature: the sum over samples of the logit that the probabilities
/// expect, less the one that the target expects. Of a target without any doubt the share `doubt` is spread over all classes.
fn slope(samples: &[Sample], doubt: f64, inverse: f64) -> f64 {
    samples
        .iter()
        .map(|(logits, target)| {
            let logits = logits.map(f64::from);
            let largest = logits.into_iter().fold(f64::NEG_INFINITY, f64::max);
            let (mut sum, mut weighted) = (0.0, 0.0);
            for logit in logits {
                let weight = ((logit - largest) * inverse).exp();
                sum += weight;
                weighted += weight * logit;
            }
            let mean = logits.iter().sum::<f64>() / Emotion::COUNT as f64;
            let expected: f64 = logits.iter().zip(target).map(|(logit, &share)| logit * f64::from(share)).sum();
            let doubt = if target.contains(&1.0) { doubt } else { 0.0 };
            weighted / sum - (1.0 - doubt) * expected - doubt * mean
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::certain;

    #[test]
    fn a_case_with_a_closed_solution() {
        // The favoured class has a logit of 4, the other six 0, and three in four are right: at the best temperature its
        // probability is 3/4 less what 1/102 of doubt takes: q = 3/4 101/102 + 1/7 1/102, and e^(4/T) = 6 q / (1 - q).
        let logits = [4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let samples: Vec<_> =
            (0..100).map(|i| (logits, certain(if i % 4 == 0 { Emotion::Sad } else { Emotion::Anger }))).collect();
        let q = 0.75f64 * 101.0 / 102.0 + 1.0 / 7.0 / 102.0;
        let expected = 4.0 / (6.0 * q / (1.0 - q)).ln();
        assert!((f64::from(fit_temperature(&samples)) - expected).abs() < 1e-6, "{}", fit_temperature(&samples));
    }

    #[test]
    fn a_case_solved_by_scipy() {
        // import numpy as np; from scipy.optimize import minimize_scalar; from scipy.special import logsumexp
        // i, c = np.arange(50)[:, None], np.arange(7)[None]
        // z = (i * 37 + c * 101 + i * c * 13) % 97 / 16; y = np.where(np.arange(50) % 3 > 0, z.argmax(1), np.arange(50) % 7)
        // truth = z[np.arange(50), y] * 51 / 52 + z.mean(1) / 52
        // nll = lambda t: (logsumexp(z / np.exp(t), axis=1) - truth / np.exp(t)).sum()
        // np.exp(minimize_scalar(nll, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10}).x)
        let samples: Vec<_> = (0..50usize)
            .map(|i| {
                let logits: [f32; 7] = std::array::from_fn(|c| ((i * 37 + c * 101 + i * c * 13) % 97) as f32 / 16.0);
                let top = (0..7).fold(0, |best, c| if logits[c] > logits[best] { c } else { best });
                (logits, certain(Emotion::ALL[if i % 3 > 0 { top } else { i % 7 }]))
            })
            .collect();
        let fitted = fit_temperature(&samples);
        assert!((fitted - 1.271_775_9).abs() < 1e-5, "{fitted}");
    }

    #[test]
    fn divided_votes_are_met_and_need_no_doubt() {
        // Three in four voters see what the logit of 4 says, the others any of six: e^(4/T) = 6 (3/4) / (1/4) = 18.
        let votes = [0.75, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0];
        let fitted = f64::from(fit_temperature(&[([4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], votes); 3]));
        assert!((fitted - 4.0 / 18f64.ln()).abs() < 1e-6, "{fitted}");
    }

    #[test]
    fn what_has_no_solution_stays_within_the_bounds() {
        let logits = [4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(fit_temperature(&[]), 1.0);
        let few = fit_temperature(&[(logits, certain(Emotion::Anger)); 5]);
        assert!((0.5..2.0).contains(&few), "five that are right are no reason to be sure of everything: {few}");
        let many = fit_temperature(&vec![(logits, certain(Emotion::Anger)); 100_000]);
        assert!((0.2..few).contains(&many), "{many}");
        assert!((19.9..=20.0).contains(&fit_temperature(&[(logits, certain(Emotion::Sad))])), "always wrong");
        assert!((0.05..=20.0).contains(&fit_temperature(&[([0.0; 7], certain(Emotion::Sad))])), "nothing to tell by");
        assert!(
            (0.05..=20.0).contains(&fit_temperature(&[
                ([1e30; 7], certain(Emotion::Sad)),
                ([f32::NAN; 7], certain(Emotion::Sad))
            ]))
        );
    }
}
