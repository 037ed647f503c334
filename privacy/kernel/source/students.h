// A few students of similar length walk forward and back through the LSTM in step; then each one's
// gradient is laid out alone, its norm taken, and it is added clipped.
//
// Included once for each instruction set, inside its namespace.

struct Student {
  int64_t index;  // in the batch
  int64_t first;  // interaction
  int64_t steps;  // of the LSTM, one less than interactions: as many as there are predictions
};

// One thread's students: its buffers hold one group's activations.
template <typename T>
class Walk {
 public:
  Walk(const Network<T>& network, int64_t longest, Total<T>& total)
      : net_(network),
        task_(network.task),
        total_(total),
        longest_(longest),
        gates_(kGroup * longest * net_.gates_distance),
        states_(kGroup * longest * net_.hidden_distance),
        cells_(kGroup * longest * net_.hidden_distance),
        squashed_(kGroup * longest * net_.hidden_distance),
        scores_(kGroup * longest),
        from_above_(kGroup * net_.hidden),
        onto_cell_(kGroup * net_.hidden),
        zeros_(net_.hidden, T(0)),
        answer_seen_(net_.answered.count(), -1),
        answers_(longest),
        of_answer_(longest * net_.gates_distance),
        answer_inputs_(longest * net_.embedding),
        onto_answer_(longest * net_.embedding),
        wide_gates_((longest + kTileSide) * net_.gates),
        wide_inputs_((longest + kTileSide) * net_.embedding),
        skill_seen_(net_.asked.count(), -1),
        skills_(longest),
        onto_head_(longest * net_.hidden),
        onto_easiness_(longest),
        onto_hidden_(net_.gates * net_.hidden),
        onto_input_(net_.gates * net_.embedding),
        onto_bias_(net_.gates),
        onto_shared_(task_.feature_count + 1) {}

  // `count` students, longest first, none without a step.
  void run(const Student* students, int64_t count) {
    students_ = students;
    count_ = count;
    forward();
    backward();
    for (int64_t s = 0; s < count; ++s) settle(s);
  }

 private:
  T* gates(int64_t s, int64_t t) { return &gates_[(s * longest_ + t) * net_.gates_distance]; }
  T* state(int64_t s, int64_t t) { return &states_[(s * longest_ + t) * net_.hidden_distance]; }
  T* cell(int64_t s, int64_t t) { return &cells_[(s * longest_ + t) * net_.hidden_distance]; }
  T* squashed(int64_t s, int64_t t) {
    return &squashed_[(s * longest_ + t) * net_.hidden_distance];
  }
  // Gradient of the student's loss at the logit of the interaction after step t.
  T& score(int64_t s, int64_t t) { return scores_[s * longest_ + t]; }
  int64_t answer_place(int64_t s, int64_t t) const {
    return net_.answered.place[net_.answer_id(students_[s].first + t)];
  }
  int64_t skill_place(int64_t s, int64_t t) const {
    return net_.asked.place[task_.asked[students_[s].first + t + 1]];
  }
  const T* features(int64_t s, int64_t t) const {
    return static_cast<const T*>(task_.features) +
           (students_[s].first + t + 1) * task_.feature_count;
  }
  int64_t active(int64_t t) const {
    int64_t active = count_;
    while (active > 0 && students_[active - 1].steps <= t) --active;
    return active;
  }

  void forward() {
    const T *before[kGroup], *onto[kGroup];
    T* out[kGroup];
    for (int64_t t = 0; t < students_[0].steps; ++t) {
      const int64_t walking = active(t);
      for (int64_t s = 0; s < walking; ++s) {
        onto[s] = &net_.gates_of_answer[answer_place(s, t) * net_.gates];
        out[s] = gates(s, t);
        if (t > 0) before[s] = state(s, t - 1);
      }
      if (t > 0) {
        multiply_rows(before, walking, net_.hidden_to_gates, onto, out);
      } else {
        for (int64_t s = 0; s < walking; ++s) std::copy_n(onto[s], net_.gates, out[s]);
      }
      for (int64_t s = 0; s < walking; ++s) {
        step(out[s], t > 0 ? cell(s, t - 1) : zeros_.data(), cell(s, t), squashed(s, t),
             state(s, t));
        score(s, t) = score_gradient(s, t);
      }
    }
  }

  // One step of the cell; the gates are squashed where they stand, in the order of PyTorch.
  void step(T* gate, const T* cell_before, T* cell, T* squashed, T* state) const {
    const int64_t size = net_.hidden;
    for (int64_t u = 0; u < size; u += kLanes<T>) {
      const Vec<T> keep = sigmoid<T>(load<T>(gate + u));
      const Vec<T> forget = sigmoid<T>(load<T>(gate + size + u));
      const Vec<T> fresh = hyperbolic_tangent<T>(load<T>(gate + 2 * size + u));
      const Vec<T> output = sigmoid<T>(load<T>(gate + 3 * size + u));
      const Vec<T> now = forget * load<T>(cell_before + u) + keep * fresh;
      const Vec<T> small = hyperbolic_tangent<T>(now);
      store<T>(gate + u, keep);
      store<T>(gate + size + u, forget);
      store<T>(gate + 2 * size + u, fresh);
      store<T>(gate + 3 * size + u, output);
      store<T>(cell + u, now);
      store<T>(squashed + u, small);
      store<T>(state + u, output * small);
    }
  }

  // Of the mean cross-entropy over the student's own predictions.
  T score_gradient(int64_t s, int64_t t) {
    const int64_t place = skill_place(s, t);
    const T* state_before = state(s, t);
    const T* head = &net_.head[place * net_.hidden];
    Vec<T> products = Vec<T>{};
    for (int64_t u = 0; u < net_.hidden; u += kLanes<T>)
      products += load<T>(state_before + u) * load<T>(head + u);
    double logit = sum_of<T>(products) + net_.parameters(task_.at_easiness)[net_.asked.row[place]];
    if (task_.feature_count > 0) {
      const T* shared = net_.parameters(task_.at_shared);
      const T* feature = features(s, t);
      logit += shared[task_.feature_count];
      for (int64_t f = 0; f < task_.feature_count; ++f)
        logit += static_cast<double>(shared[f]) * feature[f];
    }
    const double right = 1 / (1 + std::exp(-logit));
    const int8_t correct = task_.correct[students_[s].first + t + 1];
    return static_cast<T>((right - correct) / static_cast<double>(students_[s].steps));
  }

  // Turns every step's gates into the gradient at the gates before their nonlinearities.
  void backward() {
    const T* rows[kGroup];
    T* out[kGroup];
    for (int64_t t = students_[0].steps - 1; t >= 0; --t) {
      const int64_t walking = active(t);
      for (int64_t s = 0; s < walking; ++s) {
        T* above = &from_above_[s * net_.hidden];
        T* onto_cell = &onto_cell_[s * net_.hidden];
        if (t == students_[s].steps - 1) {
          std::fill_n(above, net_.hidden, T(0));
          std::fill_n(onto_cell, net_.hidden, T(0));
        }
        step_back(s, t, above, onto_cell);
        rows[s] = gates(s, t);
        out[s] = above;
      }
      if (t > 0) multiply_rows<T>(rows, walking, net_.gates_to_hidden, nullptr, out);
    }
  }

  void step_back(int64_t s, int64_t t, const T* above, T* onto_cell) {
    const int64_t size = net_.hidden;
    const T* head = &net_.head[skill_place(s, t) * size];
    const T* cell_before = t > 0 ? cell(s, t - 1) : zeros_.data();
    const T* squash = squashed(s, t);
    T* gate = gates(s, t);
    const Vec<T> from_score = all<T>(score(s, t));
    for (int64_t u = 0; u < size; u += kLanes<T>) {
      const Vec<T> keep = load<T>(gate + u), forget = load<T>(gate + size + u);
      const Vec<T> fresh = load<T>(gate + 2 * size + u), output = load<T>(gate + 3 * size + u);
      const Vec<T> small = load<T>(squash + u);
      const Vec<T> onto_state = load<T>(above + u) + from_score * load<T>(head + u);
      const Vec<T> onto = load<T>(onto_cell + u) + onto_state * output * (T(1) - small * small);
      store<T>(onto_cell + u, onto * forget);
      store<T>(gate + u, onto * fresh * keep * (T(1) - keep));
      store<T>(gate + size + u, onto * load<T>(cell_before + u) * forget * (T(1) - forget));
      store<T>(gate + 2 * size + u, onto * keep * (T(1) - fresh * fresh));
      store<T>(gate + 3 * size + u, onto_state * small * output * (T(1) - output));
    }
  }

  // Lay out one student's gradient, take its norm, add it clipped.
  void settle(int64_t s) {
    double squares = recurrent(s) + inputs(s) + head(s);
    if (squares < 0) squares = 0;  // pairs may cancel to just below; a NaN stays
    const T norm = static_cast<T>(std::sqrt(squares));
    static_cast<T*>(task_.norms)[students_[s].index] = norm;
    const double upper = static_cast<double>(norm) * task_.norm_raise;
    // Not finite: left out, not multiplied by 0, which would keep a NaN.
    if (std::isfinite(norm) && std::isfinite(upper))
      add(static_cast<T>(std::min(1.0, task_.clipping_norm / upper)));
    for (int64_t i = 0; i < answer_count_; ++i) answer_seen_[answers_[i]] = -1;
    for (int64_t i = 0; i < skill_count_; ++i) skill_seen_[skills_[i]] = -1;
  }

  double recurrent(int64_t s) {
    const int64_t steps = students_[s].steps;  // before the first step the state is 0
    return sum_outer_products<T>(gates(s, std::min<int64_t>(1, steps - 1)), net_.gates_distance,
                                 net_.gates, state(s, 0), net_.hidden_distance, net_.hidden,
                                 steps - 1, onto_hidden_.data(), net_.hidden);
  }

  // Steps that read the same answer share their input: their gate gradients are summed first.
  double inputs(int64_t s) {
    answer_count_ = 0;
    for (int64_t t = 0; t < students_[s].steps; ++t) {
      const int64_t place = answer_place(s, t);
      int32_t& seen = answer_seen_[place];
      if (seen < 0) {
        seen = static_cast<int32_t>(answer_count_);
        answers_[answer_count_++] = static_cast<int32_t>(place);
        std::copy_n(gates(s, t), net_.gates, &of_answer_[seen * net_.gates_distance]);
        std::copy_n(&net_.answer[place * net_.embedding], net_.embedding,
                    &answer_inputs_[seen * net_.embedding]);
      } else {
        add_scaled<T>(&of_answer_[seen * net_.gates_distance], gates(s, t), net_.gates, T(1));
      }
    }
    std::fill_n(onto_bias_.data(), net_.gates, T(0));
    for (int64_t i = 0; i < answer_count_; ++i)
      add_scaled<T>(onto_bias_.data(), &of_answer_[i * net_.gates_distance], net_.gates, T(1));
    const double of_biases = 2 * squared_norm<T>(onto_bias_.data(), net_.gates);  // there are two
    return of_biases + at_answers() + at_input_weights();
  }

  double at_answers() {
    double squares = 0;
    const T* rows[kGroup];
    T* out[kGroup];
    for (int64_t first = 0; first < answer_count_; first += kGroup) {
      const int64_t taken = std::min<int64_t>(kGroup, answer_count_ - first);
      for (int64_t i = 0; i < taken; ++i) {
        rows[i] = &of_answer_[(first + i) * net_.gates_distance];
        out[i] = &onto_answer_[(first + i) * net_.embedding];
      }
      multiply_rows<T>(rows, taken, net_.gates_to_input, nullptr, out);
      for (int64_t i = 0; i < taken; ++i) squares += squared_norm<T>(out[i], net_.embedding);
    }
    return squares;
  }

  // The norm by pairs of answers where that is less work, the sum being postponed; otherwise by the
  // gradient itself.
  double at_input_weights() {
    postponed_ = pairs_are_less_work();
    if (!postponed_)
      return sum_outer_products<T>(of_answer_.data(), net_.gates_distance, net_.gates,
                                   answer_inputs_.data(), net_.embedding, net_.embedding,
                                   answer_count_, onto_input_.data(), net_.embedding);
    const int64_t whole = rounded_up(answer_count_, kTileSide);
    for (int64_t i = 0; i < answer_count_; ++i) {
      std::copy_n(&of_answer_[i * net_.gates_distance], net_.gates, &wide_gates_[i * net_.gates]);
      std::copy_n(&answer_inputs_[i * net_.embedding], net_.embedding,
                  &wide_inputs_[i * net_.embedding]);
    }
    std::fill(&wide_gates_[answer_count_ * net_.gates], &wide_gates_[whole * net_.gates], 0.0);
    std::fill(&wide_inputs_[answer_count_ * net_.embedding], &wide_inputs_[whole * net_.embedding],
              0.0);
    return squared_norm_of_product(wide_gates_.data(), net_.gates, wide_inputs_.data(),
                                   net_.embedding, answer_count_);
  }

  // Counted in multiplications of T for each of the student's answers.
  bool pairs_are_less_work() const {
    const double whole = static_cast<double>(net_.gates * net_.embedding);
    const double doubles = 1.3 * sizeof(double) / sizeof(T);  // measured
    const double pairs = doubles * answer_count_ / 2.0 * (net_.gates + net_.embedding);
    return pairs + net_.postponed_share * whole < whole;
  }

  // The head's rows, the easiness and the shared weights.
  double head(int64_t s) {
    skill_count_ = 0;
    std::fill(onto_shared_.begin(), onto_shared_.end(), T(0));
    for (int64_t t = 0; t < students_[s].steps; ++t) {
      const int64_t place = skill_place(s, t);
      int32_t& seen = skill_seen_[place];
      if (seen < 0) {
        seen = static_cast<int32_t>(skill_count_);
        skills_[skill_count_++] = static_cast<int32_t>(place);
        std::fill_n(&onto_head_[seen * net_.hidden], net_.hidden, T(0));
        onto_easiness_[seen] = 0;
      }
      add_scaled<T>(&onto_head_[seen * net_.hidden], state(s, t), net_.hidden, score(s, t));
      onto_easiness_[seen] += score(s, t);
      if (task_.feature_count > 0) {
        add_scaled<T>(onto_shared_.data(), features(s, t), task_.feature_count, score(s, t));
        onto_shared_[task_.feature_count] += score(s, t);
      }
    }
    double squares = 0;
    for (int64_t i = 0; i < skill_count_; ++i)
      squares += squared_norm<T>(&onto_head_[i * net_.hidden], net_.hidden) +
                 static_cast<double>(onto_easiness_[i]) * onto_easiness_[i];
    for (const T weight : onto_shared_) squares += static_cast<double>(weight) * weight;
    return squares;
  }

  void add(T factor) {
    add_wide<T>(total_.onto_hidden.data(), onto_hidden_.data(), net_.gates * net_.hidden, factor);
    if (!postponed_)
      add_wide<T>(total_.onto_input.data(), onto_input_.data(), net_.gates * net_.embedding, factor);
    add_wide<T>(total_.bias.data(), onto_bias_.data(), net_.gates, factor);
    for (int64_t i = 0; i < answer_count_; ++i) {
      add_wide<T>(&total_.answer[answers_[i] * net_.embedding], &onto_answer_[i * net_.embedding],
                 net_.embedding, factor);
      if (postponed_)
        add_wide<T>(&total_.of_answer[answers_[i] * net_.gates],
                   &of_answer_[i * net_.gates_distance], net_.gates, factor);
    }
    for (int64_t i = 0; i < skill_count_; ++i) {
      add_wide<T>(&total_.head[skills_[i] * net_.hidden], &onto_head_[i * net_.hidden], net_.hidden,
                 factor);
      total_.easiness[skills_[i]] += static_cast<double>(factor * onto_easiness_[i]);
    }
    add_wide<T>(total_.shared.data(), onto_shared_.data(), task_.feature_count + 1, factor);
  }

  const Network<T>& net_;
  const Task& task_;
  Total<T>& total_;
  const int64_t longest_;
  const Student* students_ = nullptr;
  int64_t count_ = 0;

  // The group's, [student, step, ...].
  Buffer<T> gates_, states_, cells_, squashed_, scores_;
  Buffer<T> from_above_, onto_cell_;  // [student, hidden], at the step that is walked
  Buffer<T> zeros_;                   // [hidden], state and cell before the first step

  // One student's: distinct answers and skills, and the gradient.
  Buffer<int32_t> answer_seen_, answers_;
  Buffer<T> of_answer_, answer_inputs_, onto_answer_;
  Buffer<double> wide_gates_, wide_inputs_;
  Buffer<int32_t> skill_seen_, skills_;
  Buffer<T> onto_head_, onto_easiness_;
  Buffer<T> onto_hidden_, onto_input_, onto_bias_, onto_shared_;
  int64_t answer_count_ = 0, skill_count_ = 0;
  bool postponed_ = false;
};
