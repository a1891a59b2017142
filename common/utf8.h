#ifndef QSWEEP_COMMON_UTF8_H_
#define QSWEEP_COMMON_UTF8_H_

namespace qsweep {

// Whether a byte of UTF-8 goes on with the character that a byte before it began.
inline bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace qsweep

#endif  // QSWEEP_COMMON_UTF8_H_
