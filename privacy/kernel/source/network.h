// What all students of one call share: the parameters in the shapes that the products want.
//
// Rows of the two tables that no student of the call touches are neither read nor kept: a row that
// somebody touches has a place, counted from 0.
//
// Included once for each instruction set, inside its namespace.

// Which rows of a table occur, and where the compact copies have them.
struct Places {
  Buffer<int32_t> place;  // [rows], -1 for a row that does not occur
  Buffer<int32_t> row;    // [places]

  template <typename Visit>
  void fill(int64_t rows, Visit visit) {
    place.assign(rows, -1);
    visit([this](int64_t id) {
      if (place[id] < 0) {
        place[id] = static_cast<int32_t>(row.size());
        row.push_back(static_cast<int32_t>(id));
      }
    });
  }
  int64_t count() const { return static_cast<int64_t>(row.size()); }
};

template <typename T>
struct Network {
  const Task& task;
  int64_t units, hidden, embedding, gates;  // units without filling; the others in whole vectors
  int64_t gates_distance, hidden_distance;
  Places answered, asked;
  Packed<T> hidden_to_gates, gates_to_hidden, gates_to_input;
  Buffer<T> gates_of_answer;  // [answered places, gates]: W x + both biases
  Buffer<T> answer;           // [answered places, embedding]
  Buffer<T> head;             // [asked places, hidden]
  double postponed_share = 1; // of a step's work that is left when it is done once for each answer

  explicit Network(const Task& given) : task(given) {
    units = task.hidden;
    hidden = rounded_up(task.hidden, kLanes<T>);
    embedding = rounded_up(task.embedding, kLanes<T>);
    gates = 4 * hidden;
    gates_distance = row_distance<T>(gates);
    hidden_distance = row_distance<T>(hidden);
    find_places();
    pack();
    look_up();
  }

  const T* parameters(int64_t from) const {
    return static_cast<const T*>(task.parameters) + from;
  }
  // Row of the weights that belongs to a column of the filled gates; -1 for a filled one.
  int64_t gate_row(int64_t column) const {
    const int64_t unit = column % hidden;
    return unit < units ? column / hidden * units + unit : -1;
  }
  int64_t answer_id(int64_t interaction) const {
    return 2 * int64_t(task.asked[interaction]) + task.correct[interaction];
  }

 private:
  void find_places() {
    const int64_t* offsets = task.offsets;
    int64_t steps = 0;
    // The last answer of a student is never read, and the first skill is never predicted.
    answered.fill(2 * task.skills, [&](auto found) {
      for (int64_t s = 0; s < task.students; ++s)
        for (int64_t i = offsets[s]; i + 1 < offsets[s + 1]; ++i, ++steps) found(answer_id(i));
    });
    postponed_share = static_cast<double>(answered.count()) / steps;
    asked.fill(task.skills, [&](auto found) {
      for (int64_t s = 0; s < task.students; ++s)
        for (int64_t i = offsets[s] + 1; i < offsets[s + 1]; ++i) found(task.asked[i]);
    });
  }

  void pack() {
    const T* onto_hidden = parameters(task.at_onto_hidden);
    const T* onto_input = parameters(task.at_onto_input);
    hidden_to_gates.fill(units, gates, [&](int64_t unit, int64_t gate) {
      const int64_t row = gate_row(gate);
      return row < 0 ? T(0) : onto_hidden[row * units + unit];
    });
    gates_to_hidden.fill(gates, hidden, [&](int64_t gate, int64_t unit) {
      const int64_t row = gate_row(gate);
      return row < 0 || unit >= units ? T(0) : onto_hidden[row * units + unit];
    });
    gates_to_input.fill(gates, embedding, [&](int64_t gate, int64_t input) {
      const int64_t row = gate_row(gate);
      return row < 0 || input >= task.embedding ? T(0)
                                                : onto_input[row * task.embedding + input];
    });
  }

  void look_up() {
    const T* onto_input = parameters(task.at_onto_input);
    const T* biases = parameters(task.at_biases);
    Packed<T> input_to_gates;
    input_to_gates.fill(task.embedding, gates, [&](int64_t input, int64_t gate) {
      const int64_t row = gate_row(gate);
      return row < 0 ? T(0) : onto_input[row * task.embedding + input];
    });
    Buffer<T> bias(gates, T(0));
    for (int64_t gate = 0; gate < gates; ++gate)
      if (const int64_t row = gate_row(gate); row >= 0)
        bias[gate] = biases[row] + biases[4 * units + row];
    gates_of_answer.resize(answered.count() * gates);
    answer.assign(answered.count() * embedding, T(0));
    const Buffer<const T*> onto(answered.count(), bias.data());
    Buffer<const T*> rows(answered.count());
    Buffer<T*> out(answered.count());
    for (int64_t place = 0; place < answered.count(); ++place) {
      rows[place] = parameters(task.at_answered + answered.row[place] * task.embedding);
      out[place] = gates_of_answer.data() + place * gates;
      std::copy_n(rows[place], task.embedding, answer.data() + place * embedding);
    }
    multiply_rows(rows.data(), answered.count(), input_to_gates, onto.data(), out.data());
    head.assign(asked.count() * hidden, T(0));
    for (int64_t place = 0; place < asked.count(); ++place)
      std::copy_n(parameters(task.at_head + asked.row[place] * units), units,
                  head.data() + place * hidden);
  }
};

// Answers that are multiplied out at once.
constexpr int64_t kBlock = 240;

// The clipped sum of the students that one thread has worked through, in the filled shapes. In double
// whatever T is: in float one student more can make thousands of others round upwards, which is more
// than the clipping norm allows (Casacuberta et al. 2022).
template <typename T>
struct Total {
  Buffer<double> shared;          // [features + 1]
  Buffer<double> easiness;        // [asked places]
  Buffer<double> answer;          // [answered places, embedding]
  Buffer<double> onto_input;      // [gates, embedding], but for what of_answer stands for
  Buffer<double> of_answer;       // [answered places, gates], see add_postponed
  Buffer<double> onto_hidden;     // [gates, hidden]
  Buffer<double> bias;            // [gates]
  Buffer<double> head;            // [asked places, hidden]

  explicit Total(const Network<T>& net)
      : shared(net.task.feature_count + 1, 0.0),
        easiness(net.asked.count(), 0.0),
        answer(net.answer.size(), 0.0),
        onto_input(net.gates * net.embedding, 0.0),
        of_answer(net.gates_of_answer.size(), 0.0),
        onto_hidden(net.gates * net.hidden, 0.0),
        bias(net.gates, 0.0),
        head(net.head.size(), 0.0) {}

  void add(const Total& other) {
    const auto add = [](Buffer<double>& to, const Buffer<double>& from) {
      add_scaled<double>(to.data(), from.data(), to.size(), 1.0);
    };
    add(shared, other.shared);
    add(easiness, other.easiness);
    add(answer, other.answer);
    add(onto_input, other.onto_input);
    add(of_answer, other.of_answer);
    add(onto_hidden, other.onto_hidden);
    add(bias, other.bias);
    add(head, other.head);
  }

  // The gradient at the input's weights is linear in the summed gate gradients of each answer. Where
  // students were weighed by pairs of answers it was not multiplied out; now it is, for all at once.
  void add_postponed(const Network<T>& net) {
    const int64_t gates_distance = row_distance<double>(net.gates);
    const int64_t input_distance = row_distance<double>(net.embedding);
    Buffer<double> gates(kBlock * gates_distance), input(kBlock * input_distance);
    Buffer<double> product(net.gates * net.embedding);
    int64_t filled = 0;
    const auto flush = [&] {
      sum_outer_products<double>(gates.data(), gates_distance, net.gates, input.data(),
                                 input_distance, net.embedding, filled, product.data(),
                                 net.embedding);
      add_scaled<double>(onto_input.data(), product.data(), product.size(), 1.0);
      filled = 0;
    };
    for (int64_t place = 0; place < net.answered.count(); ++place) {
      const double* row = &of_answer[place * net.gates];
      // Where all are zero, who gave this answer was left out, perhaps because of its embedding:
      // 0 times NaN must not come back.
      if (std::all_of(row, row + net.gates, [](double value) { return value == 0; })) continue;
      std::copy_n(row, net.gates, &gates[filled * gates_distance]);
      std::copy_n(&net.answer[place * net.embedding], net.embedding, &input[filled * input_distance]);
      if (++filled == kBlock) flush();
    }
    if (filled > 0) flush();
  }

  // Write the flat vector, in the order of the parameters and without the filling.
  void write(const Network<T>& net, double* flat) const {
    const Task& task = net.task;
    if (task.feature_count > 0)
      std::copy_n(shared.data(), task.feature_count + 1, flat + task.at_shared);
    for (int64_t place = 0; place < net.asked.count(); ++place) {
      const int64_t row = net.asked.row[place];
      flat[task.at_easiness + row] = easiness[place];
      std::copy_n(&head[place * net.hidden], net.units, flat + task.at_head + row * net.units);
    }
    for (int64_t place = 0; place < net.answered.count(); ++place)
      std::copy_n(&answer[place * net.embedding], task.embedding,
                  flat + task.at_answered + net.answered.row[place] * task.embedding);
    for (int64_t gate = 0; gate < net.gates; ++gate) {
      const int64_t row = net.gate_row(gate);
      if (row < 0) continue;
      std::copy_n(&onto_input[gate * net.embedding], task.embedding,
                  flat + task.at_onto_input + row * task.embedding);
      std::copy_n(&onto_hidden[gate * net.hidden], net.units,
                  flat + task.at_onto_hidden + row * net.units);
      flat[task.at_biases + row] = flat[task.at_biases + 4 * net.units + row] = bias[gate];
    }
  }
};
