<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * A problem of one field of a request.
 */
final class FieldProblem
{
    public string $field;
    public string $description;

    public function __construct(string $field, string $description)
    {
        $this->field = $field;
        $this->description = $description;
    }
}
